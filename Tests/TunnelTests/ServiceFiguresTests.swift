import Base
import Testing

@testable import Tunnel

@Suite struct ServiceFiguresTests {
  private static func address(_ last: UInt8) -> IPAddress {
    IPAddress(v4: 0x0a0b_0000 + UInt32(last))
  }

  private static func inner(_ source: UInt8, _ destination: UInt8) throws -> InnerPacket {
    var packet = TestPacket().bytes()
    packet.replaceSubrange(12..<20, with: address(source).bytes + address(destination).bytes)
    return try #require(packet.withUnsafeBytes { InnerPacket($0) })
  }

  /// Row 0: a service of a remote cluster at 10; rows 1 and 2: one of ours at 1, by remote cluster.
  private static let table = ServiceTable(
    entries: [
      .init(address: address(10), device: 3, row: 0, isLocal: false),
      .init(address: address(1), device: 3, row: 1, isLocal: true),
    ], columns: [0, 1, -1], rows: 3)

  @Test func packetsCountForTheServiceOfEitherAddress() throws {
    var figures = ServiceFigures()
    figures.replace(Self.table, origin: [])
    func packets(_ row: Int) -> UInt64 { figures.counts[row].packets }
    figures.count(try Self.inner(5, 10), device: 3, link: 0, packets: 2, bytes: 200)
    figures.count(try Self.inner(10, 5), device: 3, link: 0, packets: 1, bytes: 100)
    #expect(figures.counts[0] == TrafficCount(packets: 3, bytes: 300))
    // Ours, with two remote clusters; a link of another slice has no column.
    figures.count(try Self.inner(1, 77), device: 3, link: 0, packets: 1, bytes: 10)
    figures.count(try Self.inner(1, 88), device: 3, link: 1, packets: 4, bytes: 10)
    figures.count(try Self.inner(1, 88), device: 3, link: 2, packets: 8, bytes: 10)
    figures.count(try Self.inner(1, 88), device: 3, link: 9, packets: 16, bytes: 10)
    #expect(packets(1) == 1 && packets(2) == 4)
    // Neither another slice's device nor a stranger.
    figures.count(try Self.inner(5, 10), device: 2, link: 0, packets: 1, bytes: 1)
    figures.count(try Self.inner(6, 7), device: 3, link: 0, packets: 1, bytes: 1)
    #expect(packets(0) == 3)
    // From one service to another: both.
    figures.count(try Self.inner(1, 10), device: 3, link: 1, packets: 1, bytes: 1)
    #expect(packets(0) == 4 && packets(2) == 5)
  }

  @Test func figuresOutliveANewTable() throws {
    var figures = ServiceFigures()
    figures.replace(Self.table, origin: [])
    figures.count(try Self.inner(5, 10), device: 3, link: 0, packets: 2, bytes: 200)
    let next = ServiceTable(
      entries: [
        .init(address: Self.address(11), device: 3, row: 0, isLocal: false),
        .init(address: Self.address(10), device: 3, row: 1, isLocal: false),
      ], columns: [0], rows: 2)
    figures.replace(next, origin: [-1, 0])
    figures.count(try Self.inner(5, 10), device: 3, link: 0, packets: 1, bytes: 100)
    #expect(figures.counts == [TrafficCount(), TrafficCount(packets: 3, bytes: 300)])
    figures.replace(ServiceTable(), origin: [])
    figures.count(try Self.inner(5, 10), device: 3, link: 0, packets: 1, bytes: 100)
    #expect(figures.counts.isEmpty)
  }

  @Test func tablesOfAnySizeFindEverything() throws {
    for count in [1, 7, 8, 9, 500, 5_000] {
      let entries = (0..<count).map {
        ServiceTable.Entry(
          address: IPAddress(v4: 0x0a00_0000 + UInt32($0) * 256), device: 0, row: $0,
          isLocal: false)
      }
      var figures = ServiceFigures()
      figures.replace(ServiceTable(entries: entries, columns: [], rows: count), origin: [])
      for entry in entries {
        var packet = TestPacket().bytes()
        packet.replaceSubrange(16..<20, with: entry.address.bytes)
        let inner = try #require(packet.withUnsafeBytes { InnerPacket($0) })
        figures.count(inner, device: 0, link: 0, packets: 1, bytes: 1)
      }
      #expect(figures.counts.allSatisfy { $0.packets == 1 })
    }
  }

  @Test func boundsHold() {
    let entries = (0..<TunnelLimits.serviceAddresses + 5).map {
      ServiceTable.Entry(address: IPAddress(v4: UInt32($0)), device: 0, row: $0, isLocal: false)
    }
    let table = ServiceTable(entries: entries, rows: .max)
    #expect(table.rows == TunnelLimits.serviceRows)
    let none = ServiceTable(entries: entries, rows: -1)
    #expect(none.rows == 0)
  }
}

extension TrafficCount {
  init(packets: UInt64, bytes: UInt64) {
    self.init()
    (self.packets, self.bytes) = (packets, bytes)
  }
}
