public import Base
public import Membership
public import Peer
public import Replication

/// Writes down what the figures need.
public final class Recorder: Observer {
  /// One change of mind of one peer about a member.
  public struct Transition: Sendable {
    public var at: Instant
    public var observer: Int
    public var subject: Int
    public var from: MemberState
    public var to: MemberState
    /// The subject ran and both could talk to each other.
    public var isFalse: Bool
  }

  /// How one changeset spread.
  public struct Spread: Sendable {
    public var began: Instant
    /// When each machine took it.
    public var arrivals: [Int: Instant] = [:]
    /// Times that it was sent whole.
    public var copies = 0
  }

  public private(set) var transitions: [Transition] = []
  public private(set) var spreads: [Digest: Spread] = [:]
  public private(set) var sessions: [SessionReport] = []
  public private(set) var rejections: [Membership.Rejection: Int] = [:]
  public private(set) var overBudget = 0
  /// Sketches that led nowhere.
  public private(set) var fallbacks = 0
  /// Of reconciliation, sent by anyone, without the changesets.
  public private(set) var reconciliationBytes = 0
  /// The largest datagram, without headers.
  public private(set) var largestDatagram = 0
  /// Of a peer: what it may send at once, and a second (`PeerConfiguration.gossipBudget`); changesets
  /// that another peer asked for have a budget of their own.
  public var budget = ByteBudget.Limit(bytesPerSecond: 65_536, burst: 1_048_576)
  public var deliveryBudget = AntiEntropy.Options().deliveryBudget
  /// What each machine has left of them, and who had too little at some time.
  private var purses: [(gossip: ByteBudget, delivery: ByteBudget)] = []
  private var overspent: Set<Int> = []
  /// Bytes of each machine in the present second, and the most in any.
  private var second: [Int32] = []
  private var window: Int64 = 0
  public private(set) var peakBytes = 0

  public init() {}

  public func watch(_ id: Digest, at now: Instant) {
    spreads[id] = Spread(began: now)
  }

  public func forgetTransitions() { transitions = [] }

  public func restartPeak() { (peakBytes, second) = (0, second.map { _ in 0 }) }

  public var peersOverBudget: Int { overspent.count }

  public var falseEvictions: Int { transitions.count { $0.to == .dead && $0.isFalse } }

  /// Returns from the dead of who never left: after a partition everybody returns, which is no flap.
  public var flaps: Int {
    var isHeldDeadFalsely: [SIMD2<Int>: Bool] = [:]
    var count = 0
    for transition in transitions {
      let pair = SIMD2(transition.observer, transition.subject)
      if transition.to == .dead { isHeldDeadFalsely[pair] = transition.isFalse }
      if transition.from == .dead, transition.to.isPresent, isHeldDeadFalsely[pair] == true {
        count += 1
      }
    }
    return count
  }

  // MARK: Observer

  public func handled(
    _ input: Peer.Input, _ effects: [Peer.Effect], at index: Int, _ simulation: Simulation
  ) {
    for effect in effects {
      switch effect {
      case .store(let changesets) where !spreads.isEmpty:
        for changeset in changesets where spreads[changeset.id]?.arrivals[index] == nil {
          spreads[changeset.id]?.arrivals[index] = simulation.now
        }
      case .event(.membership(.state(let node, let from, let to))):
        note(node, from, to, by: index, simulation)
      case .event(.membership(.rejected(_, let reason))): rejections[reason, default: 0] += 1
      case .event(.sync(.sessionEnded(let report))): sessions.append(report)
      case .event(.sync(.overBudget)): overBudget += 1
      case .event(.sync(.fellBack)): fallbacks += 1
      default: break
      }
    }
  }

  private func note(
    _ node: NodeID, _ from: MemberState, _ to: MemberState, by observer: Int,
    _ simulation: Simulation
  ) {
    guard from != .unknown, let subject = simulation.index(of: node) else { return }
    transitions.append(
      Transition(
        at: simulation.now, observer: observer, subject: subject, from: from, to: to,
        isFalse: simulation.areConnected(observer, subject)))
  }

  public func sent(
    _ messages: [PeerMessage], bytes: Int, from: Int, to: Int, isStream: Bool,
    _ simulation: Simulation
  ) {
    count(bytes, from, simulation.now)
    if !isStream { largestDatagram = max(largestDatagram, bytes - Traffic.datagramOverhead) }
    for case .sync(let message) in messages where message.isReconciliation {
      reconciliationBytes += message.controlSize
    }
    let asked = messages.reduce(0) { sum, message in
      if case .sync(.delivery) = message { sum + message.encodedSize } else { sum }
    }
    spend(bytes - asked, asked, from, simulation.now)
    guard !spreads.isEmpty else { return }
    for message in messages {
      switch message {
      case .sync(.push(let changesets)): copy(changesets)
      case .sync(.delivery(let delivery)): copy(delivery.changesets)
      default: break
      }
    }
  }

  private func copy(_ changesets: [Changeset]) {
    for changeset in changesets { spreads[changeset.id]?.copies += 1 }
  }

  private func spend(_ gossip: Int, _ delivery: Int, _ machine: Int, _ now: Instant) {
    while purses.count <= machine {
      purses.append((ByteBudget(budget, now: now), ByteBudget(deliveryBudget, now: now)))
    }
    let isCovered = purses[machine].gossip.take(gossip, now: now)
    if !purses[machine].delivery.take(delivery, now: now) || !isCovered {
      overspent.insert(machine)
    }
  }

  private func count(_ bytes: Int, _ machine: Int, _ now: Instant) {
    let current = now.nanoseconds / 1_000_000_000
    if current != window {
      window = current
      for index in second.indices { second[index] = 0 }
    }
    while second.count <= machine { second.append(0) }
    second[machine] &+= Int32(bytes)
    peakBytes = max(peakBytes, Int(second[machine]))
  }
}

extension SyncMessage {
  fileprivate var isReconciliation: Bool {
    switch self {
    case .symbolsRequest, .symbols, .rangesRequest, .ranges, .have, .want, .delivery, .redirect:
      true
    case .push, .announce, .graft, .prune, .track, .applied, .digests: false
    }
  }
}
