internal import Base
internal import Membership
public import Peer
internal import Replication

/// The rules that hold at every moment, checked with every input that a peer handles. The numbers are
/// those of the design page on simulation.
public final class Invariants: Observer {
  public private(set) var violations: [String] = []
  /// What no peer may ever count: forged, or refused by the rules.
  var forbidden: [Digest] = []
  /// By floor: what it voids wherever it counts.
  var voided: [Digest: [Digest]] = [:]
  /// By floor: what it spares.
  var kept: [Digest: [Digest]] = [:]
  /// Views by the compared set that they are computed from.
  private var views: [SetDigest: (view: Digest, machine: Int)] = [:]
  /// The highest incarnation that each machine has seen of each member since it started.
  private var incarnations: [[NodeID: Incarnation]] = []
  private var second: Int64 = 0
  private var bytes: [Int] = []
  /// Bytes a second that no peer may send, whatever others do to it.
  static let bytesPerSecond = 4 << 20
  /// What a sealed datagram carries (`SealedFormat.maximumMessage`).
  static let datagramBytes = 1_151
  static let frameBytes = 1 << 20
  private static let limit = 20

  public init() {}

  public func violate(_ sentence: String, _ simulation: Simulation) {
    guard violations.count < Self.limit else { return }
    violations.append("at \(Int((simulation.now - .zero).milliseconds)) ms: \(sentence)")
  }

  public func booted(_ index: Int, _ simulation: Simulation) {
    while incarnations.count <= index { incarnations.append([:]) }
    incarnations[index] = [:]
  }

  public func handled(
    _ input: Peer.Input, _ effects: [Peer.Effect], at index: Int, _ simulation: Simulation
  ) {
    guard let process = simulation.machines[index].process else { return }
    var hasChanged = false
    for effect in effects {
      switch effect {
      case .store, .forget, .registersChanged: hasChanged = true
      case .event(.membership(.state(let node, _, let new))):
        if new == .dead { checkEviction(of: node, by: index, simulation) }
        checkIncarnation(of: node, at: index, process.peer, simulation)
      default: break
      }
    }
    if hasChanged { checkState(process.peer, at: index, simulation) }
  }

  /// Nothing is concluded from who is held dead before.
  func troubled(until instant: Instant) { calm = max(calm, instant) }
  private var calm = Instant.zero
  /// Nobody talks to it, and it may not know why.
  var expelled: Int?

  /// 6: no correct, connected member is evicted: not by a fifth of lost packets, nor by lies.
  private func checkEviction(of node: NodeID, by index: Int, _ simulation: Simulation) {
    guard simulation.now > calm, let subject = simulation.index(of: node),
      simulation.areConnected(index, subject), index != expelled, subject != expelled
    else { return }
    violate("6: peer \(index) evicted the healthy peer \(subject)", simulation)
  }

  /// 6: incarnations never go back.
  private func checkIncarnation(
    of node: NodeID, at index: Int, _ peer: Peer, _ simulation: Simulation
  ) {
    guard let seen = peer.membership.member(node)?.record?.incarnation else { return }
    if let known = incarnations[index][node], seen < known {
      violate("6: peer \(index) went back from an incarnation of \(node)", simulation)
    }
    incarnations[index][node] = seen
  }

  private func checkState(_ peer: Peer, at index: Int, _ simulation: Simulation) {
    // 1: equal sets, equal views.
    for scope in peer.state.scopes {
      let (digest, view) = (peer.state.digest(scope), peer.state.viewHash(scope))
      if let known = views[digest], known.view != view {
        violate("1: peers \(known.machine) and \(index) see one set differently", simulation)
      }
      views[digest] = (view, index)
    }
    // 3: nothing unauthorised counts, nothing voided counts beside the floor that voids it.
    for id in forbidden where peer.state.counts(id) {
      violate("3: peer \(index) counts the forged changeset \(id)", simulation)
    }
    for floor in voided.keys.sorted() where peer.state.counts(floor) {
      for id in voided[floor] ?? [] where peer.state.counts(id) {
        violate("3: peer \(index) counts \(id), which the floor \(floor) voids", simulation)
      }
      for id in kept[floor] ?? [] where peer.state.contains(id) && !peer.state.counts(id) {
        violate("3: peer \(index) does not count \(id), which the floor \(floor) keeps", simulation)
      }
    }
  }

  public func sent(
    _ messages: [PeerMessage], bytes size: Int, from: Int, to: Int, isStream: Bool,
    _ simulation: Simulation
  ) {
    // 7: everything stays within its bounds.
    let overhead = isStream ? Traffic.frameOverhead : Traffic.datagramOverhead
    if size - overhead > (isStream ? Self.frameBytes : Self.datagramBytes) {
      violate("7: peer \(from) sent a message of \(size - overhead) bytes", simulation)
    }
    let now = simulation.now.nanoseconds / 1_000_000_000
    if now != second { (second, bytes) = (now, bytes.map { _ in 0 }) }
    while bytes.count <= from { bytes.append(0) }
    bytes[from] += size
    if bytes[from] > Self.bytesPerSecond {
      violate("7: peer \(from) sent \(bytes[from]) bytes within a second", simulation)
      bytes[from] = 0
    }
  }
}
