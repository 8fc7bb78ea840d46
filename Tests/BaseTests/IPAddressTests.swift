import Base
import Testing

@Suite struct IPAddressTests {
  @Test(arguments: [
    ("10.11.0.1", "10.11.0.1"), ("0.0.0.0", "0.0.0.0"), ("::", "::"), ("::1", "::1"),
    ("fd00:0:0:1:0:0:0:2", "fd00:0:0:1::2"), ("1:0:0:2::", "1:0:0:2::"),
    ("2001:DB8::1:0:0:1", "2001:db8::1:0:0:1"), ("::ffff:1.2.3.4", "::ffff:102:304"),
    ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"), ("1::", "1::"),
  ])
  func textRoundTrips(text: String, canonical: String) throws {
    let address = try #require(IPAddress(text))
    #expect(address.description == canonical)
    #expect(IPAddress(bytes: address.bytes) == address)
    #expect(IPAddress(canonical) == address)
  }

  @Test(arguments: [
    "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "+1.2.3.4", "1.2.3.4 ", ":", ":::", "1:::2",
    "::1::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "g::", ":1::2", "1::2:",
    "12345::", "fe80::1%eth0", "::1.2.3.256",
  ])
  func badTextIsRefused(text: String) {
    #expect(IPAddress(text) == nil)
  }

  @Test func prefixesContainAndOverlap() throws {
    let slice = try #require(IPPrefix("10.11.0.0/16"))
    let block = try #require(IPPrefix("10.11.16.0/20"))
    let wide = try #require(IPPrefix("fd00::/8"))
    #expect(slice.contains(block) && slice.overlaps(block) && block.overlaps(slice))
    #expect(!block.contains(slice) && !slice.overlaps(wide))
    #expect(block.address(at: 1)?.description == "10.11.16.1")
    #expect(block.address(at: 1 << 12) == nil)
    #expect(try #require(IPPrefix("0.0.0.0/0")).contains(block))
    #expect(try #require(IPPrefix("::/0")).address(at: .max) == IPAddress(v6: .max))
    for bad in ["10.11.0.1/16", "10.0.0.0/33", "10.0.0.0", "::/129", "10.0.0.0/-1", "10.0.0.0/+8"] {
      #expect(IPPrefix(bad) == nil)
    }
  }

  @Test func endpoints() {
    #expect(IPEndpoint("10.0.0.1:7900")?.description == "10.0.0.1:7900")
    #expect(IPEndpoint("[fd00::1]:7900")?.description == "[fd00::1]:7900")
    for bad in ["10.0.0.1", "fd00::1:7900", "[10.0.0.1]:1", "10.0.0.1:65536", ":1", "10.0.0.1:+1"] {
      #expect(IPEndpoint(bad) == nil)
    }
  }
}
