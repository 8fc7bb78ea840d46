import Base
import Testing

@testable import Tunnel

/// The scheduler under virtual time, with more offered than may go.
@Suite struct ShaperTests {
  /// One device that always has more to say: packets of one kind, so many bytes a second.
  struct Source {
    var device: Int
    /// Offered bytes a second of inner packets.
    var rate: Int
    var octet: UInt8 = 0
    var payload = 1_352
    /// Payload of the super-packet; 0: packets as they are.
    var burst = 0
  }

  struct Outcome {
    /// Inner bytes by device, and by device and class.
    var bytes: [Int: Int] = [:]
    var classes: [Int: [Int]] = [:]
    var segments = 0
    /// The longest stretch in which a device that offered something got nothing.
    var longest: [Int: Duration] = [:]
    var figures: [Int: [QueueFigures]] = [:]
  }

  private static func packets(_ source: Source) -> [UInt8] {
    var packet = TestPacket()
    packet.trafficClass = source.octet
    packet.isTCP = true
    packet.payload = [UInt8](repeating: 1, count: max(source.payload, source.burst))
    guard source.burst > source.payload else {
      return [UInt8](repeating: 0, count: VirtioHeader.size) + packet.bytes()
    }
    var header = [UInt8](repeating: 0, count: VirtioHeader.size)
    header.withUnsafeMutableBytes { raw in
      if let base = raw.baseAddress { packet.header(segmentSize: source.payload).write(to: base) }
    }
    return header + packet.bytes(partial: true)
  }

  /// Offers and drains every 200 µs, as a thread would that sleeps in between.
  static func run(
    _ plan: ShapingPlan, _ sources: [Source], for seconds: Int = 4,
    step: Duration = .microseconds(200)
  ) -> Outcome {
    var shaper = Shaper()
    var now = Instant(nanoseconds: 1_000_000_000)
    shaper.configure(plan, now: now)
    let inputs = sources.map(packets)
    var credit = sources.map { _ in 0.0 }
    var outcome = Outcome()
    var lastAt: [Int: Instant] = [:]
    let end = now + .seconds(seconds)
    func took(_ device: Int, _ classIndex: Int, _ bytes: Int, _ segments: Int) {
      outcome.bytes[device, default: 0] += bytes
      outcome.classes[device, default: [0, 0, 0, 0]][classIndex] += bytes
      outcome.segments += segments
      outcome.longest[device] = max(
        outcome.longest[device] ?? .zero, now - (lastAt[device] ?? now))
      lastAt[device] = now
    }
    while now < end {
      now = now + step
      for (index, source) in sources.enumerated() {
        credit[index] += Double(source.rate) * Double(step.nanoseconds) / 1e9
        while credit[index] >= Double(inputs[index].count) {
          credit[index] -= Double(inputs[index].count)
          let size = inputs[index].count - VirtioHeader.size
          let kind = TrafficClass.index(of: source.octet)
          if shaper.pass(source.device, bytes: size, now: now) {
            let (bytes, segments) = charged(inputs[index])
            shaper.charge(source.device, bytes: bytes, segments: segments)
            took(source.device, Int(kind), bytes, segments)
          } else {
            _ = inputs[index].withUnsafeBytes {
              shaper.hold(source.device, classIndex: kind, $0, now: now)
            }
          }
        }
      }
      while let grant = shaper.next(now: now, mtu: { _ in 1_420 }) {
        let bytes = grant.segments.reduce(0) { $0 + grant.packet.size(of: $1) }
        let kind = Int(TrafficClass.index(of: grant.packet.inner.trafficClass))
        took(grant.device, kind, bytes, grant.segments.count)
      }
    }
    for device in plan.rules.keys { outcome.figures[device] = shaper.figures(device) }
    return outcome
  }

  private static func charged(_ input: [UInt8]) -> (Int, Int) {
    var input = input
    return input.withUnsafeMutableBytes { raw in
      guard let header = VirtioHeader(UnsafeRawBufferPointer(raw)),
        let packet = OutboundPacket(
          header, UnsafeMutableRawBufferPointer(rebasing: raw[VirtioHeader.size...]), mtu: 1_420)
      else { return (0, 0) }
      return ((0..<packet.count).reduce(0) { $0 + packet.size(of: $1) }, packet.count)
    }
  }

  /// Kilobits a second.
  private static func rate(_ bytes: Int?, _ seconds: Int = 4) -> Double {
    Double(bytes ?? 0) * 8 / 1e3 / Double(seconds)
  }

  private static func isNear(_ value: Double, _ goal: Double, _ share: Double) -> Bool {
    abs(value - goal) <= goal * share
  }

  @Test(arguments: [64, 1_000, 20_000, 300_000, 2_000_000])
  func aCeilingIsKeptAndUsed(kilobits: Int) {
    let plan = ShapingPlan(rules: [3: ShapingRule(ceiling: kilobits)])
    let seconds = kilobits < 1_000 ? 60 : kilobits < 300_000 ? 10 : 2
    for burst in [0, 20_000] {
      let source = Source(device: 3, rate: kilobits * 125 * 3 / 2, burst: burst)
      let step: Duration = kilobits > 100_000 ? .microseconds(200) : .milliseconds(1)
      let outcome = Self.run(plan, [source], for: seconds, step: step)
      let rate = Self.rate(outcome.bytes[3], seconds)
      #expect(Self.isNear(rate, Double(kilobits), 0.03), "\(kilobits), \(burst): \(rate)")
    }
  }

  @Test func latenessCostsNoRate() {
    let plan = ShapingPlan(rules: [0: ShapingRule(ceiling: 50_000)])
    let outcome = Self.run(
      plan, [Source(device: 0, rate: 12_500_000)], step: .milliseconds(9))
    #expect(Self.isNear(Self.rate(outcome.bytes[0]), 50_000, 0.03))
  }

  @Test func guaranteesHoldOnALinkThatIsTooNarrow() {
    let rules = [
      0: ShapingRule(ceiling: 90_000, guaranteed: 60_000, priority: 7),
      1: ShapingRule(ceiling: 90_000, guaranteed: 20_000, priority: 7),
      2: ShapingRule(ceiling: 90_000, priority: 7),
    ]
    let plan = ShapingPlan(link: 100_000, rules: rules)
    let outcome = Self.run(plan, (0..<3).map { Source(device: $0, rate: 25_000_000) })
    let rates = (0..<3).map { Self.rate(outcome.bytes[$0]) }
    // What is left of the link beyond both guarantees and the outer headers, in three equal parts.
    let inner = 100_000.0 * 1_392 / 1_452
    let rest = (inner - 80_000) / 3
    #expect(Self.isNear(rates[0], 60_000 + rest, 0.05), "\(rates)")
    #expect(Self.isNear(rates[1], 20_000 + rest, 0.05), "\(rates)")
    #expect(Self.isNear(rates[2], rest, 0.05), "\(rates)")
    #expect(Self.isNear(rates.reduce(0, +), inner, 0.03), "\(rates)")
  }

  @Test func theRestIsSharedByPriority() {
    let plan = ShapingPlan(
      link: 80_000, rules: [0: ShapingRule(priority: 0), 5: ShapingRule(priority: 6)])
    let outcome = Self.run(plan, [0, 5].map { Source(device: $0, rate: 20_000_000) })
    let rates = [0, 5].map { Self.rate(outcome.bytes[$0]) }
    #expect(Self.isNear(rates[0] / rates[1], 8.0 / 2, 0.05), "\(rates)")
  }

  @Test func whatAGuaranteeLeavesOthersMayUse() {
    let plan = ShapingPlan(
      link: 100_000,
      rules: [0: ShapingRule(guaranteed: 80_000), 1: ShapingRule(guaranteed: 10_000)])
    // The first says little.
    let outcome = Self.run(
      plan, [Source(device: 0, rate: 1_250_000), Source(device: 1, rate: 20_000_000)])
    let rates = [0, 1].map { Self.rate(outcome.bytes[$0]) }
    #expect(Self.isNear(rates[0], 10_000, 0.03), "\(rates)")
    #expect(rates[1] > 82_000, "\(rates)")
  }

  @Test func guaranteesOfMoreThanTheLinkStarveNobody() {
    let plan = ShapingPlan(
      link: 50_000,
      rules: [0: ShapingRule(guaranteed: 80_000), 1: ShapingRule(guaranteed: 40_000)])
    let outcome = Self.run(plan, [0, 1].map { Source(device: $0, rate: 20_000_000) })
    let rates = [0, 1].map { Self.rate(outcome.bytes[$0]) }
    #expect(rates.min()! > 10_000, "\(rates)")
    #expect(outcome.longest.values.allSatisfy { $0 < .milliseconds(50) })
  }

  @Test func classesShareAndNoneStarves() {
    let plan = ShapingPlan(rules: [0: ShapingRule(ceiling: 60_000)])
    // CS0, CS1, AF21, EF.
    let octets: [UInt8] = [0, 8 << 2, 18 << 2, 46 << 2]
    let outcome = Self.run(
      plan, octets.map { Source(device: 0, rate: 15_000_000, octet: $0) }, for: 6)
    let bytes = (outcome.classes[0] ?? []).map(Double.init)
    let total = bytes.reduce(0, +)
    for (index, share) in [4.0, 1, 8, 16].enumerated() {
      #expect(Self.isNear(bytes[index] / total, share / 29, 0.05), "\(bytes)")
    }
    #expect(Self.isNear(Self.rate(outcome.bytes[0], 6), 60_000, 0.03))
  }

  @Test func oneClassMayUseAll() {
    let plan = ShapingPlan(rules: [0: ShapingRule(ceiling: 60_000)])
    let outcome = Self.run(plan, [Source(device: 0, rate: 15_000_000, octet: 8 << 2)])
    #expect(Self.isNear(Self.rate(outcome.bytes[0]), 60_000, 0.03))
  }

  @Test func smallPacketsAreChargedWithTheirHeaders() {
    let plan = ShapingPlan(link: 10_000, rules: [0: ShapingRule()])
    let outcome = Self.run(plan, [Source(device: 0, rate: 2_500_000, payload: 24)])
    let onTheLink = Self.rate((outcome.bytes[0] ?? 0) + outcome.segments * 60)
    #expect(Self.isNear(onTheLink, 10_000, 0.03))
  }

  @Test func queuesAreBoundedAndEveryLossIsCounted() {
    let plan = ShapingPlan(rules: [0: ShapingRule(ceiling: 8_000)])
    let outcome = Self.run(plan, [Source(device: 0, rate: 10_000_000)])
    let figures = outcome.figures[0]?[0] ?? QueueFigures()
    #expect(figures.bytes <= TunnelLimits.leastQueue)
    #expect(figures.refused > 0 && figures.delayed > 0)
    let offered = 10_000_000 * 4 / 1_402
    let told = outcome.segments + Int(figures.refused + figures.delayed) + figures.bytes / 1_402
    #expect(abs(offered - told) <= 2, "\(offered) offered, \(told) accounted for")
  }

  @Test func queuesThatStandAreMarkedWhereSendersUnderstandIt() {
    let plan = ShapingPlan(rules: [0: ShapingRule(ceiling: 8_000)])
    let outcome = Self.run(plan, [Source(device: 0, rate: 1_250_000, octet: 0b10)])
    let figures = outcome.figures[0]?[0] ?? QueueFigures()
    #expect(figures.marked > 10)
    #expect(figures.delayed == 0)
  }

  @Test func aDeviceWithoutARuleIsNotHeldBack() {
    var shaper = Shaper()
    shaper.configure(ShapingPlan(rules: [1: ShapingRule(ceiling: 1)]), now: .zero)
    for device in [-1, 0, 2, TunnelLimits.devices, Int.max] {
      let passes = shaper.pass(device, bytes: 60_000, now: .zero)
      shaper.charge(device, bytes: 60_000, segments: 40)
      let figures = shaper.figures(device)
      #expect(passes && figures.isEmpty)
    }
    let passes = shaper.pass(1, bytes: 60_000, now: .zero)
    #expect(!passes)
  }

  @Test func whatWaitsOutlivesAChangeOfRulesButNotTheirEnd() {
    var shaper = Shaper()
    var plan = ShapingPlan(rules: [0: ShapingRule(ceiling: 100), 1: ShapingRule(ceiling: 100)])
    shaper.configure(plan, now: .zero)
    let input = Self.packets(Source(device: 0, rate: 0))
    for device in 0..<2 {
      for _ in 0..<5 {
        let isHeld = input.withUnsafeBytes {
          shaper.hold(device, classIndex: 0, $0, now: .zero)
        }
        #expect(isHeld)
      }
    }
    plan.rules[0] = ShapingRule(ceiling: 1_000_000)
    plan.rules[1] = nil
    shaper.configure(plan, now: .zero)
    let kept = shaper.waiting
    #expect(kept == 5)
    var count = 0
    while let grant = shaper.next(now: .zero, mtu: { _ in 1_420 }) {
      #expect(grant.device == 0)
      count += 1
    }
    let (left, wakeAt) = (shaper.waiting, shaper.wakeAt)
    #expect(count == 5 && left == 0 && wakeAt == .distantFuture)
  }

  @Test func hostilePacketsDoNoHarm() {
    var shaper = Shaper()
    shaper.configure(ShapingPlan(rules: [0: ShapingRule(ceiling: 1_000_000)]), now: .zero)
    var rng = SeededGenerator(seed: 7)
    var now = Instant.zero
    let good = Self.packets(Source(device: 0, rate: 0, burst: 9_000))
    for round in 0..<20_000 {
      var bytes = round.isMultiple(of: 2) ? good : []
      if bytes.isEmpty {
        bytes = (0..<Int.random(in: 0...200, using: &rng)).map { _ in
          UInt8.random(in: 0...255, using: &rng)
        }
      }
      for _ in 0..<Int.random(in: 0...4, using: &rng) where !bytes.isEmpty {
        bytes[Int.random(in: 0..<min(bytes.count, 60), using: &rng)] ^= 1 << UInt8(round % 8)
      }
      _ = bytes.withUnsafeBytes {
        shaper.hold(0, classIndex: UInt8.random(in: 0...255, using: &rng), $0, now: now)
      }
      now = now + .microseconds(300)
      while let grant = shaper.next(now: now, mtu: { _ in 1_420 }) {
        for index in grant.segments {
          var out = [UInt8](repeating: 0, count: grant.packet.size(of: index))
          out.withUnsafeMutableBytes { grant.packet.write(index, to: $0) }
        }
      }
    }
    _ = shaper.next(now: now + .seconds(60), mtu: { _ in 1_420 })
  }
}
