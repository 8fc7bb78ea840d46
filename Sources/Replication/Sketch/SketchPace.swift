/// How many symbols to ask for next. Few at first, since most differences are small; then what the
/// estimate calls for (1.35 symbols a difference in the long run), little more at a time, since each
/// symbol too many costs bytes and each round too many costs a round trip.
enum SketchPace {
  static let firstWindow = 8

  /// `nil` where the sketch is past its cap, 4 d + 64, and another way has to be taken.
  static func nextWindow(count: Int, estimate: Int) -> Int? {
    if count == 0 { return firstWindow }
    let cap = min(SyncLimits.sketchSymbols, 4 * min(estimate, SyncLimits.sketchSymbols) + 64)
    // The first windows are too small to trust their estimate: approach it from below.
    let trust = count < 32 ? 0.6 : 1
    let goal = Int(1.35 * trust * Double(min(estimate, SyncLimits.sketchSymbols)))
    let step = max(goal - count, 8, count / 4)
    let window = min(step, cap - count, SyncLimits.windowSymbols)
    return window > 0 ? window : nil
  }

  /// More differences than the longest sketch could tell, or so large a part of the other side's set
  /// that whole ranges of it are missing here: those are asked for by their prefix.
  static func isHopeless(estimate: Int, of setCount: Int) -> Bool {
    estimate > SyncLimits.sketchSymbols / 2 || (estimate > 256 && estimate > setCount / 2)
  }
}
