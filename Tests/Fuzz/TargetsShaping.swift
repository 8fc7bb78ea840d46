import Base
import Tunnel

/// Packets of a device through the shaper: any bytes may wait, and whatever leaves it can be cut and
/// written. Then what the outer header says of congestion.
func shapingTarget() -> FuzzTarget {
  FuzzTarget(name: "shaping", corpus: superPackets + plainPackets) { input in
    let seed = input.reduce(UInt64(7)) { $0 &* 31 &+ UInt64($1) }
    var shaper = Shaper()
    var now = Instant.zero
    let rule = ShapingRule(
      ceiling: Int(seed % 1_000_000), guaranteed: Int(seed >> 8 % 500_000),
      priority: Int(seed >> 16 % 9))
    shaper.configure(
      ShapingPlan(link: Int(seed >> 24 % 1_000_000), rules: [0: rule, 1: ShapingRule()]), now: now)
    for round in 0..<4 {
      let device = round % 2
      _ = shaper.pass(device, bytes: input.count, now: now)
      _ = input.withUnsafeBytes {
        shaper.hold(device, classIndex: UInt8(truncatingIfNeeded: seed), $0, now: now)
      }
      now = now + .milliseconds(60)
      while let grant = shaper.next(now: now, mtu: { _ in 1_420 }) {
        for index in grant.segments.prefix(64) {
          var out = [UInt8](repeating: 0, count: grant.packet.size(of: index))
          out.withUnsafeMutableBytes { grant.packet.write(index, to: $0) }
        }
      }
    }
    var packet = Array(input.dropFirst(VirtioHeader.size))
    packet.withUnsafeMutableBytes { raw in
      guard var inner = InnerPacket(UnsafeRawBufferPointer(raw)) else { return }
      _ = ECN.combine(raw, &inner, outer: UInt8(truncatingIfNeeded: seed))
      precondition(inner == InnerPacket(UnsafeRawBufferPointer(raw)), "fields and bytes agree")
    }
  }
}
