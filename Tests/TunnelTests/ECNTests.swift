import Base
import Testing

@testable import Tunnel

@Suite struct ECNTests {
  /// RFC 6040, figure 4: the outgoing field by inner (rows) and outer (columns): not-ECT, ECT(0),
  /// ECT(1), CE; nil: drop.
  @Test func theTunnelsEndFollowsTheTable() {
    let (not, one, zero, ce): (UInt8, UInt8, UInt8, UInt8) = (0, 1, 2, 3)
    let table: [(UInt8, [UInt8?])] = [
      (not, [not, not, not, nil]), (zero, [zero, zero, one, ce]), (one, [one, one, one, ce]),
      (ce, [ce, ce, ce, ce]),
    ]
    for (inner, row) in table {
      for (outer, expected) in zip([not, zero, one, ce], row) {
        #expect(ECN.inner(inner, outer: outer) == expected, "\(inner) in \(outer)")
      }
      #expect(ECN.outer(0b1011_1000 | inner) == inner)
    }
  }

  @Test(arguments: [true, false])
  func aMarkKeepsTheHeaderRight(isV4: Bool) throws {
    for octet: UInt8 in [0b10, 0b01, 46 << 2 | 0b10] {
      var packet = TestPacket()
      packet.isV4 = isV4
      packet.trafficClass = octet
      packet.payload = [1, 2, 3]
      var bytes = packet.bytes()
      var inner = try #require(bytes.withUnsafeBytes { InnerPacket($0) })
      let isKept = bytes.withUnsafeMutableBytes { ECN.combine($0, &inner, outer: 0b11) }
      packet.trafficClass = octet | 0b11
      #expect(isKept && bytes == packet.bytes())
      #expect(inner == bytes.withUnsafeBytes { InnerPacket($0) })
    }
  }

  @Test func aPathMarkOnASenderWithoutECNIsALoss() throws {
    var bytes = TestPacket().bytes()
    var inner = try #require(bytes.withUnsafeBytes { InnerPacket($0) })
    let isKept = bytes.withUnsafeMutableBytes { ECN.combine($0, &inner, outer: 0b11) }
    #expect(!isKept && bytes == TestPacket().bytes())
  }

  @Test func classesFollowCodePoints() {
    let expected: [(point: UInt8, name: TrafficClass)] = [
      (0, .standard), (8, .background), (1, .background), (10, .assured), (18, .assured),
      (38, .assured), (16, .assured), (32, .assured), (46, .expedited), (44, .expedited),
      (48, .expedited), (56, .expedited), (40, .expedited), (63, .standard), (2, .standard),
    ]
    for (point, name) in expected {
      for ecn: UInt8 in 0..<4 {
        #expect(TrafficClass.index(of: point << 2 | ecn) == name.rawValue, "\(point)")
      }
    }
  }
}
