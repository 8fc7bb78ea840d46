internal import Base
internal import Tunnel

/// Two gateways without a path to each other and two that hand on between them, with what a seed draws of
/// loss, disorder, repetition, recorded packets played again, silence and restarts of ends and relays,
/// rotation at any moment, a bound on relaying, and a direct path that opens and closes.
///
/// Checks invariant 12 for relayed sessions: no nonce repeats under a key, nothing is accepted twice,
/// nothing reaches the device of who only hands on, and after the trouble what is sent arrives.
public struct RelayRehearsal {
  private var network: SimulatedNetwork
  private var rng: SeededGenerator
  private var violations: [String] = []
  /// Packets are numbered over all restarts.
  private var sent: UInt32 = 0
  private var boots: [UInt64] = [0, 0, 0, 0]
  private let timing: TunnelTiming
  /// The ends do not know each other's addresses, so there never is a direct path.
  private let isHidden: Bool

  private static let ends = [0, 2]
  private static let relays = [1, 3]
  /// How soon after silence and restarts the ends carry traffic again.
  private static let recovery: Duration = .seconds(30)

  public init(seed: UInt64) {
    rng = SeedStreams(seed: seed).stream("relay")
    var timing = TunnelTiming()
    if rng.happens(0.5) {
      timing.rekeyAfter = .seconds(2)
      timing.rekeyJitter = .seconds(1)
    }
    if rng.happens(0.3) { timing.directEvery = .seconds(3) }
    self.timing = timing
    isHidden = rng.happens(0.5)
    network = SimulatedNetwork.mesh(
      4, seed: rng.next(), timing: timing, apart: isHidden ? [Self.ends] : [])
    if !isHidden { network.blocked = [between] }
  }

  private var between: [IPEndpoint] { Self.ends.map { network.gateways[$0].endpoint } }

  /// One sentence for each violation.
  public mutating func run() -> [String] {
    network.run(for: .seconds(4))
    for _ in 0..<(4 + rng.below(8)) { trouble() }
    network.weather = .init()
    network.silent = []
    network.gateways[1].receive.setRelayLimit(kilobits: 0)
    network.gateways[3].receive.setRelayLimit(kilobits: 0)
    network.run(for: Self.recovery)
    checkCalm()
    check()
    return violations
  }

  private mutating func violate(_ sentence: String) {
    guard violations.count < 8 else { return }
    violations.append(
      "at \(Int((network.now - .zero).milliseconds)) ms of the relays: 12: \(sentence)")
  }

  // MARK: Trouble

  private mutating func trouble() {
    network.weather = .init(
      loss: rng.happens(0.5) ? rng.unit() * 0.2 : 0,
      duplication: rng.happens(0.5) ? rng.unit() * 0.5 : 0,
      spread: rng.happens(0.5) ? rng.duration(upTo: .milliseconds(80)) : .zero)
    let who = rng.below(4)
    switch rng.below(8) {
    case 0: restart(who)
    case 1:
      network.silent = [network.gateways[who].endpoint]
      traffic(.milliseconds(100 + rng.below(4_000)))
      network.silent = []
    case 2: network.gateways[who].handle(.rekey, network.time)
    case 3: network.gateways[who].handle(.renew(slice: "blue"), network.time)
    case 4: replay()
    case 5:
      let kilobits = rng.happens(0.5) ? 20 + rng.below(200) : 0
      network.gateways[Self.relays[who % 2]].receive.setRelayLimit(kilobits: kilobits)
    case 6 where !isHidden:
      network.blocked = network.blocked.isEmpty ? [between] : []
    default: break
    }
    traffic(.milliseconds(200 + rng.below(3_000)))
  }

  /// The gateway's process ends and starts with nothing but its keys.
  private mutating func restart(_ index: Int) {
    check()
    boots[index] += 1
    network.gateways[index] = network.makeGateway(index, timing: timing, boot: boots[index])
    network.configure(index, apart: isHidden ? [Self.ends] : [])
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
      for end in Self.ends {
        sent += 1
        network.gateways[end].inject(
          SimulatedNetwork.packet(from: end, to: 2 - end, number: sent), network.time)
      }
      network.run(for: .milliseconds(10))
    }
  }

  // MARK: Rules

  /// On a quiet network every packet arrives, in order, whoever changes keys or certificates.
  private mutating func checkCalm() {
    check()
    for end in Self.ends {
      let status = network.gateways[end].link(to: 2 - end, network.now)
      if status?.state != .established {
        violate("the ends do not reach each other again after \(Self.recovery)")
      }
      if isHidden, status?.relay == nil { violate("the ends meet without an address") }
      network.gateways[end].delivered = []
    }
    let first = sent
    for step in 0..<200 {
      let who = step / 40 % 4
      if step % 40 == 20 { network.gateways[who].handle(.rekey, network.time) }
      if step % 80 == 50 { network.gateways[who].handle(.renew(slice: "blue"), network.time) }
      traffic(.milliseconds(10))
    }
    network.run(for: .seconds(1))
    let expected = Int(sent - first) / 2
    for end in Self.ends {
      let numbers = network.gateways[end].delivered.map(SimulatedNetwork.number)
      if numbers.count != expected {
        violate("of \(expected) packets to gateway \(end) \(numbers.count) arrived in calm weather")
      }
    }
  }

  private mutating func check() {
    for index in network.gateways.indices {
      let numbers = network.gateways[index].delivered.map(SimulatedNetwork.number)
      if Set(numbers).count != numbers.count {
        violate("gateway \(index) accepted a packet twice")
      }
      if Self.relays.contains(index), !numbers.isEmpty {
        violate("gateway \(index) delivered what it only was to hand on")
      }
    }
    if network.ledger.repeats > 0 { violate("\(network.ledger.repeats) nonces were repeated") }
  }
}
