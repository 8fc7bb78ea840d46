import Base
import Tunnel

/// What holds a simulated gateway's packets back, and what has left it.
final class SimulatedQueue {
  private var shaper = Shaper()
  private let ceiling: Int
  private let since: Instant
  private var bytes = 0
  /// Packets that found no room or waited too long.
  private(set) var lost = 0

  /// `ceiling`: kilobits a second.
  init(ceiling: Int, now: Instant) {
    self.ceiling = ceiling
    since = now
    shaper.configure(ShapingPlan(rules: [0: ShapingRule(ceiling: ceiling)]), now: now)
  }

  var wakeAt: Instant { shaper.waiting > 0 ? shaper.wakeAt : .distantFuture }

  func offer(_ packet: [UInt8], _ now: Instant) {
    let isHeld = (zeros + packet).withUnsafeBytes {
      shaper.hold(0, classIndex: TrafficClass.index(of: packet[1]), $0, now: now)
    }
    if !isHeld { lost += 1 }
  }

  private var zeros: [UInt8] { [UInt8](repeating: 0, count: VirtioHeader.size) }

  /// What may go now.
  func take(_ now: Instant) -> [[UInt8]] {
    var out: [[UInt8]] = []
    while let grant = shaper.next(now: now, mtu: { _ in TunnelLimits.innerMTU }) {
      for index in grant.segments {
        var packet = [UInt8](repeating: 0, count: grant.packet.size(of: index))
        packet.withUnsafeMutableBytes { grant.packet.write(index, to: $0) }
        bytes += packet.count
        out.append(packet)
      }
    }
    return out
  }

  /// Whether more has left than the ceiling allows by now.
  func exceeds(_ now: Instant) -> Bool {
    // What the bucket holds at first, and the overdraft of one packet.
    let rate = Double(ceiling) * 125
    let most = rate * ((now - since).milliseconds + 10) / 1_000 + Double(TunnelLimits.innerMTU)
    return Double(bytes) > most
  }
}
