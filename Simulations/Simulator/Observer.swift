internal import Base
public import Peer

/// Sees all that happens: recorders of figures, checkers of invariants.
public protocol Observer: AnyObject {
  func booted(_ index: Int, _ simulation: Simulation)
  func handled(
    _ input: Peer.Input, _ effects: [Peer.Effect], at index: Int, _ simulation: Simulation)
  /// Something goes out; `bytes` with all headers.
  func sent(
    _ messages: [PeerMessage], bytes: Int, from: Int, to: Int, isStream: Bool,
    _ simulation: Simulation)
}

extension Observer {
  public func booted(_ index: Int, _ simulation: Simulation) {}
  public func handled(
    _ input: Peer.Input, _ effects: [Peer.Effect], at index: Int, _ simulation: Simulation
  ) {}
  public func sent(
    _ messages: [PeerMessage], bytes: Int, from: Int, to: Int, isStream: Bool,
    _ simulation: Simulation
  ) {}
}
