internal import Base
internal import Tunnel

/// Two gateways under traffic, with what a seed draws of loss, disorder, repetition, recorded packets
/// played again, silence, rotation at any moment and restarts of either side.
///
/// Checks invariant 12: no nonce repeats under a key, nothing is accepted twice, what the network
/// delivers while the tunnel is up is accepted, and after the trouble the tunnel carries traffic again.
/// Half of them hold the slice to a rate: that is kept, and packets keep their order.
public struct TunnelRehearsal {
  private var network: SimulatedNetwork
  private var rng: SeededGenerator
  private var violations: [String] = []
  /// Packets are numbered over all restarts.
  private var sent: UInt32 = 0
  private var boots: [UInt64] = [0, 0]
  private let timing: TunnelTiming
  /// Kilobits a second; `nil`: not held back.
  private let ceiling: Int?

  /// How soon after silence and restarts a tunnel carries traffic again.
  private static let recovery: Duration = .seconds(20)

  public init(seed: UInt64) {
    rng = SeedStreams(seed: seed).stream("tunnel")
    var timing = TunnelTiming()
    if rng.happens(0.5) {
      timing.rekeyAfter = .seconds(2)
      timing.rekeyJitter = .seconds(1)
    }
    if rng.happens(0.2) { timing.sessionLifetime = .seconds(20 + rng.below(40)) }
    self.timing = timing
    // Above what `traffic` offers, below its bursts.
    ceiling = rng.happens(0.5) ? 30 + rng.below(100) : nil
    network = SimulatedNetwork.pair(seed: rng.next(), timing: timing)
    for side in 0..<2 { holdBack(side) }
  }

  private mutating func holdBack(_ side: Int) {
    network.gateways[side].queue = ceiling.map {
      SimulatedQueue(ceiling: $0, now: network.now)
    }
  }

  /// One sentence for each violation.
  public mutating func run() -> [String] {
    network.run(for: .seconds(2))
    for _ in 0..<(4 + rng.below(10)) { trouble() }
    network.weather = .init()
    network.silent = []
    network.run(for: Self.recovery)
    if !network.established { violate("the tunnel is not up again after \(Self.recovery)") }
    checkCalm()
    checkOnce()
    checkAge()
    return violations
  }

  private mutating func violate(_ sentence: String) {
    guard violations.count < 8 else { return }
    violations.append(
      "at \(Int((network.now - .zero).milliseconds)) ms of the tunnel: 12: \(sentence)")
  }

  // MARK: Trouble

  private mutating func trouble() {
    network.weather = .init(
      loss: rng.happens(0.5) ? rng.unit() * 0.3 : 0,
      duplication: rng.happens(0.5) ? rng.unit() * 0.5 : 0,
      spread: rng.happens(0.5) ? rng.duration(upTo: .milliseconds(80)) : .zero)
    let side = rng.below(2)
    switch rng.below(7) {
    case 6: roam(side)
    case 0: restart(side)
    case 1:
      network.silent = [network.gateways[side].endpoint]
      traffic(.milliseconds(100 + rng.below(4_000)))
      network.silent = []
    case 2, 3: network.gateways[side].handle(.rekey, network.time)
    case 4: replay()
    case 5: for _ in 0..<rng.below(200) { send(from: side) }
    default: break
    }
    traffic(.milliseconds(200 + rng.below(3_000)))
  }

  /// The gateway's process ends and starts with nothing but its keys.
  private mutating func restart(_ side: Int) {
    checkOnce()
    boots[side] += 1
    let endpoint = network.gateways[side].endpoint
    network.gateways[side] = network.makeGateway(side, timing: timing, boot: boots[side])
    holdBack(side)
    network.gateways[side].endpoint = endpoint
    network.gateways[side].handle(
      .configure([config(from: side)]), network.time)
  }

  /// With the address that the other side has by now.
  private func config(from side: Int) -> LinkConfig {
    var config = SimulatedNetwork.config(from: side, to: 1 - side)
    config.endpoints = [network.gateways[1 - side].endpoint]
    return config
  }

  /// The gateway is at another address from one moment to the next; the state tells the other side.
  private mutating func roam(_ side: Int) {
    var endpoint = network.gateways[side].endpoint
    endpoint.port = endpoint.port == 7_900 ? 7_901 : 7_900
    network.gateways[side].endpoint = endpoint
    traffic(.milliseconds(rng.below(1_500)))
    network.gateways[1 - side].handle(.configure([config(from: 1 - side)]), network.time)
  }

  /// Everything that was ever said may be said again.
  private mutating func replay() {
    guard !network.recorded.isEmpty else { return }
    for _ in 0..<50 {
      let old = network.recorded[rng.below(network.recorded.count)]
      network.send(old.bytes, from: old.from, to: old.to)
    }
  }

  private mutating func traffic(_ duration: Duration) {
    let end = network.now + duration
    while network.now < end {
      for side in 0..<2 { send(from: side) }
      network.run(for: .milliseconds(10))
    }
  }

  private mutating func send(from side: Int) {
    sent += 1
    network.gateways[side].inject(
      SimulatedNetwork.packet(from: side, to: 1 - side, number: sent), network.time)
  }

  // MARK: Rules

  /// A full handshake comes at the latest with the end of a session's life, whatever was the trouble.
  private mutating func checkAge() {
    for side in 0..<2 {
      guard let age = network.gateways[side].link(network.now)?.sessionAge else { continue }
      if age > timing.sessionLifetime + Self.recovery {
        violate("gateway \(side) has a session of \(age)")
      }
    }
  }

  /// On a quiet network every packet arrives, rotation or not.
  private mutating func checkCalm() {
    network.run(for: .seconds(1))
    checkOnce()
    for side in 0..<2 { network.gateways[side].delivered = [] }
    let first = sent
    for step in 0..<200 {
      if step % 40 == 20 { network.gateways[step / 40 % 2].handle(.rekey, network.time) }
      traffic(.milliseconds(10))
    }
    network.run(for: .seconds(1))
    let arrived = network.gateways.map { $0.delivered.count }
    let expected = Int(sent - first) / 2
    if arrived != [expected, expected] {
      violate("of \(expected) packets each way \(arrived) arrived on a quiet network")
    }
    for side in 0..<2 {
      let numbers = network.gateways[side].delivered.map(SimulatedNetwork.number)
      if numbers != numbers.sorted() { violate("packets to gateway \(side) overtook each other") }
    }
  }

  /// Nothing is accepted twice by one process, and no nonce is used twice by any.
  private mutating func checkOnce() {
    for side in 0..<2 {
      let numbers = network.gateways[side].delivered.map(SimulatedNetwork.number)
      if Set(numbers).count != numbers.count {
        violate("gateway \(side) accepted a packet twice")
      }
      if network.gateways[side].queue?.exceeds(network.now) == true {
        violate("gateway \(side) sent more than its slice may")
      }
    }
    for side in 0..<2 where network.gateways[side].overdue > 0 {
      violate("gateway \(side) sealed data under a key past its hard stop")
    }
    if network.ledger.repeats > 0 { violate("\(network.ledger.repeats) nonces were repeated") }
  }
}
