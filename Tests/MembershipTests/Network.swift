import Base

@testable import Membership

/// A deterministic network of membership cores: virtual clock, delays between random places, loss,
/// partitions. One seed, one run.
final class Network {
  private enum Happening {
    case tick(Int)
    case arrival(to: Int, from: Int, [Membership.Message], incarnationOfProcess: Int)
    case resume(Int)
    case streamResult(at: Int, of: Int, Bool)
  }

  private struct Scheduled {
    var time: Int64
    var order: Int
    var happening: Happening
  }

  struct Transition {
    var time: Duration
    var observer: Int
    var subject: Int
    var from: MemberState
    var to: MemberState
  }

  let keys = KeyRing()
  let crypto: Crypto
  let signers: [Signer]
  let admitted: [AdmittedPeer]
  private(set) var nodes: [Membership]
  private(set) var isUp: [Bool]
  private var lives: [Int]
  private var indices: [NodeID: Int] = [:]
  private var places: [(Double, Double)] = []
  private var wakeups: [Int64]
  private var heap: [Scheduled] = []
  private var order = 0
  private var rng: SeededGenerator
  private(set) var time: Int64 = 0

  /// Loss of one datagram from a node to another.
  var loss: (Int, Int) -> Double = { _, _ in 0 }
  /// Members of different groups do not reach one another.
  var group: [Int]
  /// Wall clock errors of the nodes, milliseconds.
  var skew: [Int64]

  private(set) var transitions: [Transition] = []
  private(set) var rejections: [Membership.Rejection: Int] = [:]
  private(set) var refutations = 0
  private(set) var syncs = 0
  private(set) var accusations = 0
  private(set) var datagramBytes: [Int]
  private(set) var streamBytes: [Int]
  private(set) var seedContacts: [[String]]
  private(set) var bootEpochs: [UInt64]
  private(set) var largestDatagram = 0
  var configuration: Membership.Configuration

  static let clusterSet = Digest(words: (1, 2, 3, 4))

  init(
    nodes count: Int, seed: UInt64, regions: Int = 24,
    configuration: Membership.Configuration = .init()
  ) {
    rng = SeededGenerator(seed: seed)
    self.configuration = configuration
    let keys = keys
    crypto = keys.crypto
    let crypto = crypto
    let signers = (0..<count).map { keys.makeSigner(UInt64($0) + 1) }
    self.signers = signers
    admitted = (0..<count).map { i in
      AdmittedPeer(
        key: signers[i].publicKey, cluster: "cluster-\(i)",
        addresses: ["10.0.\(i / 250).\(i % 250):7946"],
        crypto: crypto)
    }
    isUp = [Bool](repeating: false, count: count)
    lives = [Int](repeating: 0, count: count)
    wakeups = [Int64](repeating: .max, count: count)
    group = [Int](repeating: 0, count: count)
    skew = [Int64](repeating: 0, count: count)
    datagramBytes = [Int](repeating: 0, count: count)
    streamBytes = [Int](repeating: 0, count: count)
    seedContacts = [[String]](repeating: [], count: count)
    bootEpochs = [UInt64](repeating: 0, count: count)
    nodes = []
    // Regions on a plane of 130 ms by 80 ms one way, members within 2 ms of their region.
    let centres = (0..<regions).map { _ in
      (Double.random(in: 0..<130, using: &rng), Double.random(in: 0..<80, using: &rng))
    }
    for i in 0..<count {
      let (x, y) = centres[i % regions]
      places.append(
        (x + .random(in: 0..<2, using: &rng), y + .random(in: 0..<2, using: &rng)))
      nodes.append(makeCore(i, bootEpoch: 1))
      indices[nodes[i].id] = i
    }
  }

  func makeCore(_ i: Int, bootEpoch: UInt64) -> Membership {
    Membership(
      identity: MemberIdentity(
        signer: signers[i], cluster: "cluster-\(i)", clusterSet: Self.clusterSet,
        bootEpoch: bootEpoch, addresses: admitted[i].addresses),
      crypto: crypto, configuration: configuration, seed: rng.next())
  }

  // MARK: Driving

  func id(_ i: Int) -> NodeID { nodes[i].id }

  func now(_ i: Int) -> Now {
    Now(
      instant: Instant(nanoseconds: time),
      wallMilliseconds: UInt64(1_700_000_000_000 + time / 1_000_000 + skew[i]))
  }

  func start(_ i: Int) {
    isUp[i] = true
    input(i, .admitted(admitted))
  }

  func startAll() {
    for i in nodes.indices { start(i) }
  }

  func crash(_ i: Int) {
    isUp[i] = false
    lives[i] += 1
    wakeups[i] = .max
  }

  /// The process stands still; what arrives meanwhile is lost.
  func pause(_ i: Int, for duration: Duration) {
    isUp[i] = false
    wakeups[i] = .max
    push(time + duration.nanoseconds, .resume(i))
  }

  var elapsed: Duration { .nanoseconds(time) }

  func restart(_ i: Int, bootEpoch: UInt64) {
    nodes[i] = makeCore(i, bootEpoch: bootEpoch)
    lives[i] += 1
    start(i)
  }

  func input(_ i: Int, _ input: Membership.Input) {
    var effects: [Membership.Effect] = []
    nodes[i].handle(input, now: now(i), effects: &effects)
    perform(effects, of: i)
    let due = max(nodes[i].nextDeadline.nanoseconds, time)
    if due < wakeups[i] {
      wakeups[i] = due
      push(due, .tick(i))
    }
  }

  func run(for duration: Duration) {
    let end = time + duration.nanoseconds
    while let next = heap.first, next.time <= end {
      pop()
      time = max(time, next.time)
      switch next.happening {
      case .tick(let i):
        guard wakeups[i] == next.time else { continue }
        wakeups[i] = .max
        if isUp[i] { input(i, .tick) }
      case .arrival(let to, let from, let messages, let life):
        guard isUp[to], lives[to] == life else { continue }
        input(to, .messages(from: id(from), messages))
      case .resume(let i):
        isUp[i] = true
        input(i, .tick)
      case .streamResult(let at, let of, let reachable):
        if isUp[at] { input(at, .streamProbeResult(id(of), reachable: reachable)) }
      }
    }
    time = end
  }

  /// Runs until a condition holds, checked every 50 ms; the time it took, or `nil`.
  func run(atMost limit: Duration, until condition: () -> Bool) -> Duration? {
    let start = time
    while time - start < limit.nanoseconds {
      if condition() { return .nanoseconds(time - start) }
      run(for: .milliseconds(50))
    }
    return condition() ? .nanoseconds(time - start) : nil
  }

  // MARK: Effects

  private func perform(_ effects: [Membership.Effect], of i: Int) {
    for effect in effects {
      switch effect {
      case .send(let to, let messages):
        let size = messages.reduce(0) { $0 + Self.size($1) }
        largestDatagram = max(largestDatagram, size)
        datagramBytes[i] += size + 28 + 41
        guard let target = indices[to], isReachable(i, target) else { continue }
        guard Double.random(in: 0..<1, using: &rng) >= loss(i, target) else { continue }
        deliver(messages, from: i, to: target, after: delay(i, target))
      case .sendStream(let to, let message):
        streamBytes[i] += Self.size(message) + 80
        guard let target = indices[to], isReachable(i, target) else { continue }
        let wait = delay(i, target) * 3 + retransmissions(i, target)
        deliver([message], from: i, to: target, after: wait)
      case .streamProbe(let to):
        guard let target = indices[to] else { continue }
        let answers = isReachable(i, target)
        let wait =
          answers
          ? delay(i, target) * 2 + retransmissions(i, target) + retransmissions(target, i)
          : 3_000_000_000
        push(time + wait, .streamResult(at: i, of: target, answers && wait < 3_000_000_000))
      case .contactSeed(let address): seedContacts[i].append(address)
      case .persistBootEpoch(let epoch): bootEpochs[i] = epoch
      case .event(let event): note(event, i)
      }
    }
  }

  private func deliver(_ messages: [Membership.Message], from: Int, to: Int, after: Int64) {
    push(
      time + after,
      .arrival(to: to, from: from, messages, incarnationOfProcess: lives[to]))
  }

  private func isReachable(_ a: Int, _ b: Int) -> Bool { isUp[b] && group[a] == group[b] }

  /// Without jitter.
  func roundTrip(_ a: Int, _ b: Int) -> Duration {
    .microseconds(Int64(2000 * distance(a, b)))
  }

  private func distance(_ a: Int, _ b: Int) -> Double {
    let (dx, dy) = (places[a].0 - places[b].0, places[a].1 - places[b].1)
    return (dx * dx + dy * dy).squareRoot() + 0.5
  }

  private func delay(_ a: Int, _ b: Int) -> Int64 {
    Int64(distance(a, b) * 1e6 * Double.random(in: 1..<1.1, using: &rng))
  }

  /// What TCP's retransmissions cost: a second, doubling.
  private func retransmissions(_ a: Int, _ b: Int) -> Int64 {
    var wait: Int64 = 0
    var timeout: Int64 = 1_000_000_000
    for _ in 0..<6 {
      if Double.random(in: 0..<1, using: &rng) >= loss(a, b) { break }
      wait += timeout
      timeout *= 2
    }
    return wait
  }

  private func note(_ event: Membership.Event, _ i: Int) {
    switch event {
    case .state(let id, let from, let to):
      guard let subject = indices[id] else { break }
      transitions.append(
        Transition(
          time: .nanoseconds(time), observer: i, subject: subject, from: from, to: to))
    case .rejected(_, let reason): rejections[reason, default: 0] += 1
    case .refuted: refutations += 1
    case .accused: accusations += 1
    case .synchronised: syncs += 1
    default: break
    }
  }

  /// Bytes as Protobuf, about.
  static func size(_ message: Membership.Message) -> Int {
    switch message {
    case .ping(let ping): 14 + ping.attachment.count
    case .ack(let ack): 28 + ack.attachment.count
    case .probeRequest: 44
    case .relayedAck, .nack: 8
    case .evidence(let evidence): 4 + evidence.reduce(0) { $0 + $1.size }
    case .syncRequest(let buckets): 4 + buckets.count * 4
    case .syncSummary(let summary): 12 + summary.members.count * 22
    case .syncWant(let prefixes): 4 + prefixes.count * 8
    case .syncRecords(let records):
      8 + records.evidence.reduce(0) { $0 + $1.size } + records.coordinates.count * 22
    case .syncRedirect(let others): 4 + others.count * 34
    }
  }

  // MARK: Heap

  private func push(_ time: Int64, _ happening: Happening) {
    order += 1
    heap.append(Scheduled(time: time, order: order, happening: happening))
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard isBefore(child, parent) else { break }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  private func pop() {
    heap.swapAt(0, heap.count - 1)
    heap.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
        if isBefore(child, least) { least = child }
      }
      if least == parent { return }
      heap.swapAt(parent, least)
      parent = least
    }
  }

  private func isBefore(_ a: Int, _ b: Int) -> Bool {
    (heap[a].time, heap[a].order) < (heap[b].time, heap[b].order)
  }

  // MARK: Looking

  /// Whether every running node holds every running node present and every other one not.
  var isAccurate: Bool {
    nodes.indices.allSatisfy { i in
      !isUp[i]
        || nodes.indices.allSatisfy { j in
          i == j || nodes[i].state(of: id(j)).isPresent == isUp[j]
        }
    }
  }

  func allKnow(_ subject: Int, _ states: Set<MemberState>) -> Bool {
    nodes.indices.allSatisfy {
      $0 == subject || !isUp[$0] || states.contains(nodes[$0].state(of: id(subject)))
    }
  }

  func hears(_ observer: Int, _ subject: Int) -> Bool {
    let (core, now) = (nodes[observer], Instant(nanoseconds: time))
    return core.state(of: id(subject)).isPresent && !core.isSilent(id(subject), now: now)
  }

  /// Pairs of running members of which one does not hear the other.
  var pairsUnheard: Int {
    let running = nodes.indices.filter { isUp[$0] }
    return running.reduce(0) { sum, i in sum + running.count { $0 != i && !hears(i, $0) } }
  }

  /// Times that a running, reachable member was held dead.
  func falseEvictions(since: Duration = .zero) -> [Transition] {
    transitions.filter { $0.to == .dead && $0.time >= since && isUp[$0.subject] }
  }

  func resetCounters() {
    transitions.removeAll()
    rejections.removeAll()
    (refutations, accusations, largestDatagram) = (0, 0, 0)
    for i in datagramBytes.indices { (datagramBytes[i], streamBytes[i]) = (0, 0) }
  }
}
