/// Finds the few steps of a failing plan that it fails by: takes out ever smaller runs of steps as
/// long as the rest still fails (delta debugging: Zeller and Hildebrandt, TSE 2002).
public enum Shrinking {
  /// - Parameter fails: whether a plan with fewer steps still shows the failure.
  public static func shrink(_ plan: Plan, fails: (Plan) -> Bool) -> Plan {
    var best = plan
    var size = max(best.steps.count / 2, 1)
    while size >= 1 {
      var start = 0
      while start < best.steps.count {
        var candidate = best
        candidate.steps.removeSubrange(start..<min(start + size, best.steps.count))
        if fails(candidate) { best = candidate } else { start += size }
      }
      if size == 1 { break }
      size /= 2
    }
    return best
  }
}
