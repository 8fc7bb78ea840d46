public import Base

/// What the rest of a peer asks of its membership.
extension Membership {
  /// Everyone else that is admitted, in the order of ids.
  public var members: [Member] { table.ring.map { member($0) } }

  /// Those who take part, in the order of ids.
  public var presentMembers: [AdmittedPeer] {
    table.ring.compactMap { table[$0].state.isPresent ? table.peer($0) : nil }
  }

  /// Calls `body` with the place in the roster of each who takes part and its round trip, measured or
  /// predicted, ascending; `nil` where it is not known.
  public func forEachPresent(_ body: (Int, Duration?) -> Void) {
    for slot in table.ring where table[slot].state.isPresent {
      let seconds = estimate(slot)
      let roundTrip: Duration? =
        seconds.isFinite ? .nanoseconds(Int64(seconds * 1e6) * 1_000) : nil
      body(Int(slot), roundTrip)
    }
  }

  public func member(_ id: NodeID) -> Member? {
    table.slot(of: id).map { member($0) }
  }

  /// `unknown` also for those who are not admitted.
  public func state(of id: NodeID) -> MemberState {
    table.slot(of: id).map { table[$0].state } ?? .unknown
  }

  /// Whether a member is suspect, unrefuted, and has said nothing to us, for as long as the shortest
  /// suspicion lasts, in which whoever is there has refuted. A suspicion lasts longer where a member comes
  /// and goes or loses much (`FlapDamping`), since evicting it again and again costs everybody; not to
  /// lead anybody to it costs nothing and is taken back at its first word.
  public func isSilent(_ id: NodeID, now: Instant) -> Bool {
    guard let slot = table.slot(of: id), table[slot].state == .suspect else { return false }
    return max(table[slot].since, table[slot].heard) + configuration.suspicionMinimum <= now
  }

  /// How many of the others are in a state.
  public func count(_ state: MemberState) -> Int { table.count(state) }

  /// Hash of who is alive, dead or gone, in which incarnation: equal views, equal hashes.
  public var viewHash: UInt32 { table.view }

  /// Smoothed measured round-trip time; `nil` until it was probed.
  public func rtt(to id: NodeID) -> Duration? {
    guard let slot = table.slot(of: id), table[slot].smoothed > 0 else { return nil }
    return .microseconds(Int64(table[slot].smoothed * 1e6))
  }

  /// Measured, else predicted from coordinates; `nil` where neither is known.
  public func estimatedRTT(to id: NodeID) -> Duration? {
    guard let slot = table.slot(of: id) else { return nil }
    let seconds = estimate(slot)
    return seconds.isFinite ? .microseconds(Int64(seconds * 1e6)) : nil
  }

  /// The present members that are nearest, degraded and suspect ones last, ties by id.
  public func nearest(_ count: Int) -> [NodeID] {
    guard count > 0 else { return [] }
    var best: [(score: Float, slot: Int32)] = []
    for slot in table.ring where table[slot].state.isPresent {
      let penalty: Float = table[slot].state == .alive ? 0 : 1000
      // Unknown distances come after all known ones of their kind.
      let score = min(estimate(slot), 100) + penalty
      if best.count == count, let last = best.last, score >= last.score { continue }
      best.insert((score, slot), at: best.firstIndex { score < $0.score } ?? best.count)
      if best.count > count { best.removeLast() }
    }
    return best.map { table.id($0.slot) }
  }

  private func estimate(_ slot: Int32) -> Float {
    if table[slot].smoothed > 0 { return table[slot].smoothed }
    guard table[slot].coordinate.isKnown, coordinate.isKnown else { return .infinity }
    return coordinate.seconds(to: table[slot].coordinate)
  }

  private func member(_ slot: Int32) -> Member {
    let row = table[slot]
    return Member(
      peer: table.peer(slot), state: row.state, record: row.record, since: row.since,
      roundTrip: row.smoothed > 0 ? .microseconds(Int64(row.smoothed * 1e6)) : nil,
      coordinate: row.coordinate)
  }
}
