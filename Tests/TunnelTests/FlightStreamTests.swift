import Base
import Testing

@testable import Simulator
@testable import Tunnel

@Suite struct FlightStreamTests {
  /// Two streams over a link that loses, repeats and reorders: both sides get what was written.
  @Test(arguments: 0..<50 as Range<UInt64>) func deliversInOrder(seed: UInt64) {
    var rng = SeededGenerator(seed: seed)
    var now = Instant.zero
    var streams = (0..<2).map { _ in FlightStream(timing: TunnelTiming(), roundTripTime: nil) }
    let written = (0..<2).map { _ in
      ToyCrypto.random(Int.random(in: 1...TunnelLimits.flightBytes, using: &rng), &rng)
    }
    var got: [[UInt8]] = [[], []]
    for side in 0..<2 { holds(streams[side].write(written[side])) }
    var air: [(to: Int, offset: Int, bytes: [UInt8], acknowledged: Int)] = []
    for _ in 0..<2_000 where !streams.allSatisfy(\.isDelivered) || got != written {
      for side in 0..<2 {
        for piece in streams[side].datagrams(now: now)
        where Double.random(in: 0..<1, using: &rng) > 0.3 {
          air.append((1 - side, piece.offset, piece.bytes, streams[side].received))
        }
      }
      air.shuffle(using: &rng)
      for _ in 0..<air.count / 2 + 1 where !air.isEmpty {
        let (to, offset, bytes, acknowledged) = air.removeLast()
        if Double.random(in: 0..<1, using: &rng) < 0.2 {
          air.append((to, offset, bytes, acknowledged))
        }
        got[to] += streams[to].receive(
          offset: offset, bytes: bytes, acknowledged: acknowledged, now: now)
      }
      now = now + .milliseconds(50)
    }
    #expect(got[1] == written[0] && got[0] == written[1])
    #expect(streams.allSatisfy { $0.deadline == nil })
  }

  @Test func boundsHold() {
    var stream = FlightStream(timing: TunnelTiming(), roundTripTime: nil)
    let now = Instant.zero
    holds(!stream.write([UInt8](repeating: 0, count: TunnelLimits.flightBytes + 1)))
    holds(stream.write([UInt8](repeating: 0, count: TunnelLimits.flightBytes)))
    holds(!stream.write([1]))
    // Acknowledging what was never sent does nothing.
    holds(stream.receive(offset: 0, bytes: [], acknowledged: 5, now: now).isEmpty)
    holds(stream.datagrams(now: now).first?.offset == 0)
    // Beyond the bound, and far more pieces ahead of a gap than are kept.
    let beyond = TunnelLimits.flightBytes
    holds(stream.receive(offset: beyond, bytes: [1], acknowledged: 0, now: now).isEmpty)
    for offset in 1...1_000 {
      holds(stream.receive(offset: offset * 2, bytes: [1], acknowledged: 0, now: now).isEmpty)
    }
    holds(stream.receive(offset: 0, bytes: [1, 1], acknowledged: 0, now: now).count == 3)
  }

  @Test func resendsWithGrowingDelay() {
    var stream = FlightStream(timing: TunnelTiming(), roundTripTime: nil)
    holds(stream.write([1, 2, 3]))
    var now = Instant.zero
    var delays: [Duration] = []
    holds(stream.datagrams(now: now).count == 1)
    for _ in 0..<6 {
      guard let deadline = stream.deadline else { break }
      holds(stream.datagrams(now: now).isEmpty)
      delays.append(deadline - now)
      now = deadline
      holds(stream.datagrams(now: now).count == 1)
    }
    #expect(delays.map { Int($0.milliseconds) } == [200, 400, 800, 1_600, 1_600, 1_600])
  }
}
