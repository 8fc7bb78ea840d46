internal import Base

/// The links between machines: how long a packet takes, whether it gets there, and what else happens
/// to it. Where messages travel as values, `loss` stands for corrupted packets too.
public struct NetworkModel: Sendable {
  /// One way, where machines have no region.
  public var delay: Duration = .milliseconds(5)
  /// Added to each packet, uniform from zero.
  public var jitter: Duration = .milliseconds(2)
  /// The same as a share of the link's delay.
  public var jitterShare = 0.0
  /// Share of packets lost on every link.
  public var loss = 0.0
  /// Share of datagrams that arrive twice.
  public var duplication = 0.0
  /// Share of datagrams in which a bit is turned over, where they travel as bytes.
  public var corruption = 0.0
  /// Share of datagrams held up, and for how long at most: others overtake them.
  public var reordering = 0.0
  public var holdUp: Duration = .milliseconds(100)
  /// Of each machine's uplink, bytes a second; and how much of it waits before datagrams are dropped.
  public var bandwidth = 125_000_000.0
  public var queueLimit: Duration = .milliseconds(200)

  /// Traffic that does not get through: from machines of one set to those of another.
  public struct Cut: Sendable {
    public var isFrom: Set<Int>
    public var isTo: Set<Int>
  }
  public var cuts: [Cut] = []
  /// Machines of different groups do not reach one another.
  var groups: [Int] = []
  /// More loss than `loss`, of what a machine sends and of what is sent to it.
  public var egressLoss: [Int: Double] = [:]
  public var ingressLoss: [Int: Double] = [:]

  var regions: [Int32] = []
  /// From the machine to its region's backbone.
  var lastMile: [Int64] = []
  private var uplinkFree: [Int64] = []
  private var isMapped = false
  var rng = SeededGenerator(seed: 0)

  public init() {}

  mutating func addMachine(region: Int?, using rng: inout SeededGenerator) {
    groups.append(0)
    regions.append(Int32(region ?? -1))
    lastMile.append(region == nil ? 0 : Int64(rng.unit() * 500_000))
    uplinkFree.append(0)
    if region != nil { isMapped = true }
  }

  /// Without jitter and queues.
  public func baseDelay(_ from: Int, _ to: Int) -> Duration {
    guard isMapped else { return delay }
    let (a, b) = (Int(regions[from]), Int(regions[to]))
    guard a >= 0, b >= 0 else { return delay }
    return .nanoseconds(Regions.delays[a * Regions.all.count + b] + lastMile[from] + lastMile[to])
  }

  func isCut(_ from: Int, _ to: Int) -> Bool {
    if groups[from] != groups[to] { return true }
    for cut in cuts where cut.isFrom.contains(from) && cut.isTo.contains(to) { return true }
    return false
  }

  /// Share of packets lost between two.
  func loss(_ from: Int, _ to: Int) -> Double {
    if egressLoss.isEmpty && ingressLoss.isEmpty { return loss }
    let kept = (1 - loss) * (1 - (egressLoss[from] ?? 0)) * (1 - (ingressLoss[to] ?? 0))
    return 1 - kept
  }

  /// When a packet sent now arrives; `nil`: it does not.
  mutating func arrival(from: Int, to: Int, bytes: Int, now: Instant) -> Instant? {
    let departure = max(uplinkFree[from], now.nanoseconds)
    guard departure - now.nanoseconds <= queueLimit.nanoseconds else { return nil }
    uplinkFree[from] = departure + Int64(Double(bytes) / bandwidth * 1e9)
    if isCut(from, to) || rng.happens(loss(from, to)) { return nil }
    var time = departure + travel(from, to)
    if rng.happens(reordering) { time += rng.duration(upTo: holdUp).nanoseconds }
    return Instant(nanoseconds: time)
  }

  mutating func isDuplicated() -> Bool { rng.happens(duplication) }

  mutating func isCorrupted() -> Bool { corruption > 0 && rng.happens(corruption) }

  mutating func corrupted(_ bytes: [UInt8]) -> [UInt8] {
    guard !bytes.isEmpty else { return bytes }
    var out = bytes
    out[rng.below(out.count)] ^= 1 << UInt8(rng.below(8))
    return out
  }

  /// One way, with jitter.
  mutating func travel(_ from: Int, _ to: Int) -> Int64 {
    let base = baseDelay(from, to).nanoseconds
    let spread = Double(jitter.nanoseconds) + Double(base) * jitterShare
    return base + Int64(spread * rng.unit())
  }

  /// What a segment of a stream takes, with the retransmissions of TCP that loss makes necessary.
  mutating func segment(_ from: Int, _ to: Int) -> Int64 {
    var wait = travel(from, to)
    let share = loss(from, to)
    guard share > 0 else { return wait }
    // Tail loss: no duplicate acknowledgements, so the timer of RFC 6298 with its usual floor.
    var timeout = max(200_000_000, baseDelay(from, to).nanoseconds * 3)
    for _ in 0..<8 where rng.happens(share) {
      wait += timeout
      timeout *= 2
    }
    return wait
  }

  /// The farthest one-way path between any two of these machines.
  public func farthestPath(among machines: [Int]) -> Duration {
    guard isMapped else { return delay }
    var outermost: [Int: Int] = [:]
    for machine in machines {
      let region = Int(regions[machine])
      if lastMile[machine] >= lastMile[outermost[region] ?? machine] { outermost[region] = machine }
    }
    var farthest = Duration.zero
    for a in outermost.values {
      for b in outermost.values { farthest = max(farthest, baseDelay(a, b)) }
    }
    return farthest
  }
}
