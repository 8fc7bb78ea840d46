internal import Base
internal import Membership
internal import Peer
internal import Replication
internal import Synchronization

extension PeerHost {
  /// Gauges of the peer's own figures, read when somebody asks for metrics.
  func collectMetrics(_ engine: PeerEngine) {
    let latest = LatestFigures()
    registry.collect { registry in
      // The core lives on its loop: figures are those of the last look, and ask for a new one.
      latest.refresh(from: engine)
      guard let figures = latest.value else { return }
      for (state, count) in figures.members {
        registry.gauge(
          "starling_membership_members", help: "Other peers by state.", labels: ["state": state]
        ).set(Double(count))
      }
      registry.gauge("starling_state_changesets", help: "Changesets held.")
        .set(Double(figures.changesets))
      registry.gauge("starling_state_waiting", help: "Changesets that wait to be judged.")
        .set(Double(figures.waiting))
      registry.gauge("starling_state_conflicts", help: "Registers with more than one value.")
        .set(Double(figures.conflicts))
      registry.gauge("starling_slices", help: "Slices with members.").set(Double(figures.slices))
    }
  }
}

private final class LatestFigures: Sendable {
  struct Figures: Sendable {
    var members: [(String, Int)] = []
    var changesets = 0
    var waiting = 0
    var conflicts = 0
    var slices = 0
  }

  private let latest = Mutex<Figures?>(nil)

  var value: Figures? { latest.withLock { $0 } }

  func refresh(from engine: PeerEngine) {
    Task {
      let figures = try? await engine.read { peer in
        let states: [MemberState] = [.alive, .degraded, .suspect, .dead, .left, .unknown]
        return Figures(
          members: states.map { ("\($0)", peer.membership.count($0)) },
          changesets: peer.state.count, waiting: peer.state.waitingCount,
          conflicts: peer.state.conflictCount, slices: peer.state.slices.count)
      }
      if let figures { self.latest.withLock { $0 = figures } }
    }
  }
}
