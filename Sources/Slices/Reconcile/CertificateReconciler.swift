internal import Base

/// Which leaf certificates a gateway should have: one for each slice that it serves, made anew when the
/// slice's rotation says so. Pure, like all reconcilers; whoever runs it issues and forgets.
public enum CertificateReconciler {
  /// A leaf that there is.
  public struct Leaf: Hashable, Sendable {
    public var slice: String
    public var replica: String
    /// Milliseconds since 1970.
    public var issuedMilliseconds: UInt64
    public var expiresMilliseconds: UInt64

    public init(
      slice: String, replica: String, issuedMilliseconds: UInt64, expiresMilliseconds: UInt64
    ) {
      self.slice = slice
      self.replica = replica
      self.issuedMilliseconds = issuedMilliseconds
      self.expiresMilliseconds = expiresMilliseconds
    }
  }

  public enum Action: Hashable, Sendable {
    /// Valid for as long as it is used, and for the overlap in which the one after it takes over.
    case issue(slice: String, replica: String, lifetimeMilliseconds: Int64)
    /// The slice is no longer served.
    case forget(slice: String, replica: String)
  }

  public struct Plan: Hashable, Sendable {
    /// Ascending by slice, then replica.
    public var actions: [Action]
    /// When to look again, milliseconds since 1970; `nil` with nothing to wait for.
    public var nextMilliseconds: UInt64?
  }

  /// - Parameters:
  ///   - wanted: by slice, its rotation.
  ///   - replicas: of this cluster's gateway.
  public static func plan(
    wanted: [String: SliceRotation], replicas: [String], observed: [Leaf],
    now milliseconds: UInt64
  ) -> Plan {
    var plan = Plan(actions: [], nextMilliseconds: nil)
    var known: [[String]: Leaf] = [:]
    for leaf in observed { known[[leaf.slice, leaf.replica]] = leaf }
    for leaf in observed.sorted(by: { ($0.slice, $0.replica) < ($1.slice, $1.replica) })
    where wanted[leaf.slice] == nil || !replicas.contains(leaf.replica) {
      plan.actions.append(.forget(slice: leaf.slice, replica: leaf.replica))
    }
    for (slice, rotation) in wanted.sorted(by: { $0.key < $1.key }) {
      for replica in replicas.sorted() {
        var next = milliseconds &+ UInt64(clamping: rotation.interval.milliseconds)
        if let leaf = known[[slice, replica]], isGood(leaf, rotation, milliseconds) {
          next = due(leaf, rotation)
        } else {
          let lifetime = rotation.interval.milliseconds + rotation.overlap.milliseconds
          plan.actions.append(
            .issue(slice: slice, replica: replica, lifetimeMilliseconds: lifetime))
        }
        plan.nextMilliseconds = min(plan.nextMilliseconds ?? next, next)
      }
    }
    return plan
  }

  /// By the slice's interval, and never later than the leaf lasts: a longer interval does not make an
  /// old leaf last longer.
  private static func due(_ leaf: Leaf, _ rotation: SliceRotation) -> UInt64 {
    let overlap = UInt64(clamping: rotation.overlap.milliseconds)
    let last = leaf.expiresMilliseconds > overlap ? leaf.expiresMilliseconds - overlap : 0
    return min(rotation.due(issuedMilliseconds: leaf.issuedMilliseconds), last)
  }

  /// A leaf from the future was made by a clock that was wrong: others may refuse it.
  private static func isGood(_ leaf: Leaf, _ rotation: SliceRotation, _ now: UInt64) -> Bool {
    let tolerance: UInt64 = 60_000
    return due(leaf, rotation) > now && leaf.issuedMilliseconds <= now &+ tolerance
  }
}
