import Base
import Slices
import Testing

@Suite struct BlockTests {
  /// 10.1.0.0/16 by maxClusters: block prefix and blocks, as KubeSlice cuts it.
  @Test(arguments: [
    (2, 17, [1: "10.1.128.0"]), (3, 18, [1: "10.1.64.0", 2: "10.1.128.0"]),
    (5, 19, [1: "10.1.32.0"]), (9, 20, [1: "10.1.16.0"]),
    (16, 20, [1: "10.1.16.0", 15: "10.1.240.0"]), (32, 21, [1: "10.1.8.0", 31: "10.1.248.0"]),
  ])
  func kubeSliceCases(maxClusters: Int, length: Int, blocks: [Int: String]) throws {
    let cidr = try #require(IPPrefix("10.1.0.0/16"))
    let layout = try #require(BlockLayout(cidr: cidr, maxClusters: maxClusters))
    #expect(layout.blockLength == length)
    for (index, network) in blocks {
      let block = try #require(layout.block(index))
      #expect("\(block)" == "\(network)/\(length)")
      #expect(layout.index(of: block.network) == index)
    }
    #expect(layout.block(layout.blockCount) == nil && layout.block(-1) == nil)
  }

  @Test func sixteenBitsOfIPv6() throws {
    let cidr = try #require(IPPrefix("fd11::/48"))
    let layout = try #require(BlockLayout(cidr: cidr, maxClusters: 1024))
    #expect(layout.block(1023).map { "\($0)" } == "fd11:0:0:ffc0::/58")
  }

  @Test func overlaps() throws {
    let wide = try #require(IPPrefix("10.1.0.0/16"))
    let first = try #require(IPPrefix("10.1.0.0/24"))
    let second = try #require(IPPrefix("10.1.1.0/24"))
    #expect(wide.overlaps(second) && !first.overlaps(second))
  }

  @Test func everyClusterPrefersItsOwnOrder() throws {
    let cidr = try #require(IPPrefix("10.0.0.0/8"))
    let layout = try #require(BlockLayout(cidr: cidr, maxClusters: 256))
    let firsts = (0..<64).compactMap { layout.preference(of: "cluster-\($0)").first }
    #expect(Set(layout.preference(of: "eu-1")) == Set(0..<256))
    #expect(layout.preference(of: "eu-1") == layout.preference(of: "eu-1"))
    // 64 picks of 256 by chance meet about seven times.
    #expect(Set(firsts).count > 48)
  }
}

@Suite struct AddressAllocatorTests {
  func endpoint(_ number: Int) -> AddressAllocator.Key {
    .endpoint(ServiceName(namespace: "shop", name: "db"), "db-\(number)")
  }

  @Test func sameKeySameAddress() throws {
    let block = try #require(IPPrefix("10.11.16.0/20"))
    var first = AddressAllocator(block: block)
    let addresses = (0..<500).compactMap { first.address(for: endpoint($0)) }
    #expect(Set(addresses).count == 500)
    var again = AddressAllocator(block: block, persisted: first.allocations)
    #expect((0..<500).compactMap { again.address(for: endpoint($0)) } == addresses)
    #expect(again == first)
    // Nothing persisted and another order: nearly all find their first choice again.
    var lost = AddressAllocator(block: block)
    let found = (0..<500).reversed().filter { lost.address(for: endpoint($0)) == addresses[$0] }
    #expect(found.count > 400)
  }

  @Test(arguments: ["10.11.16.0/28", "10.11.0.0/24", "fd11::/124"])
  func fillsTheBlockAndNoMore(block: String) throws {
    let block = try #require(IPPrefix(block))
    var allocator = AddressAllocator(block: block)
    let room = allocator.free
    let addresses = (0..<room).compactMap { allocator.address(for: endpoint($0)) }
    #expect(addresses.count == room && Set(addresses).count == room && room > 8)
    #expect(allocator.free == 0 && allocator.address(for: endpoint(room)) == nil)
    let gateways = (0..<16).compactMap { AddressAllocator.gateway($0, in: block) }
    #expect(gateways.count >= 4 && Set(gateways).isDisjoint(with: addresses))
    #expect(!addresses.contains(block.network))
    allocator.release(endpoint(3))
    #expect(allocator.address(for: endpoint(room)) == addresses[3])
  }

  @Test func foreignAllocationsAreDropped() throws {
    let block = try #require(IPPrefix("10.11.16.0/20"))
    let other = try #require(IPAddress("10.11.40.9"))
    let twice = try #require(IPAddress("10.11.16.99"))
    let allocator = AddressAllocator(
      block: block, persisted: [endpoint(0): other, endpoint(1): twice, endpoint(2): twice])
    #expect(allocator.allocations == [endpoint(1): twice])
  }

  @Test func keysReadBack() {
    let service = ServiceName(namespace: "shop", name: "db")
    let keys: [AddressAllocator.Key] = [
      .node("node"), .service(service), .endpoint(service, "db-0"), .endpoint(service, "fd00::1"),
    ]
    for key in keys { #expect(AddressAllocator.Key(key.description) == key) }
    #expect(AddressAllocator.Key("what/ever") == nil)
  }
}
