internal import Base
internal import Peer

/// Notes what was promised, and keeps a few messages to replay.
final class Watcher: Observer {
  private unowned let rehearsal: Rehearsal

  init(_ rehearsal: Rehearsal) { self.rehearsal = rehearsal }

  func handled(
    _ input: Peer.Input, _ effects: [Peer.Effect], at index: Int, _ simulation: Simulation
  ) {
    if case .stored(let ids) = input { rehearsal.stored(ids, at: index) }
  }

  func sent(
    _ messages: [PeerMessage], bytes: Int, from: Int, to: Int, isStream: Bool,
    _ simulation: Simulation
  ) {
    guard !isStream, simulation.eventCount % 97 == 0 else { return }
    if rehearsal.sample.count >= 200 { rehearsal.sample.removeFirst(100) }
    rehearsal.sample.append((from, messages))
  }
}
