import Base
import Testing

@testable import Runtime

@Suite struct ReachableAddressesTests {
  private let interfaces = [
    "127.0.0.1", "169.254.3.4", "10.0.0.7", "192.0.2.9", "::1", "fe80::1", "2001:db8::7",
  ].compactMap { IPAddress($0) }

  private func told(_ listen: String, _ interfaces: [IPAddress]) -> [String] {
    IPEndpoint(listen).map { ReachableAddresses.of($0, interfaces: interfaces).map(\.description) }
      ?? []
  }

  @Test func whatIsBoundToOneAddressIsReachedThere() {
    #expect(told("10.0.0.7:7946", interfaces) == ["10.0.0.7:7946"])
    #expect(told("127.0.0.1:7946", interfaces) == ["127.0.0.1:7946"])
  }

  @Test func aWildcardStandsForTheInterfaces() {
    #expect(told("0.0.0.0:7946", interfaces) == ["10.0.0.7:7946", "192.0.2.9:7946"])
    #expect(
      Set(told("[::]:7946", interfaces)) == [
        "10.0.0.7:7946", "192.0.2.9:7946", "[2001:db8::7]:7946",
      ])
  }

  @Test func aHostWithLoopbackAloneTellsThat() {
    #expect(told("0.0.0.0:7946", Array(interfaces.prefix(2))) == ["127.0.0.1:7946"])
    #expect(told("0.0.0.0:7946", []) == [])
  }

  @Test func thereIsABound() {
    let many = (0..<100).map { IPAddress(v4: 0x0a00_0001 + $0) }
    #expect(told("0.0.0.0:7946", many).count == ReachableAddresses.limit)
  }
}
