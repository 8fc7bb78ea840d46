import Base
import Foundation
import Replication
import Testing

@testable import Runtime

@Suite struct APIEncodingTests {
  func json(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
  }

  func read<T: Decodable>(_ text: String, as type: T.Type = T.self) throws -> T {
    try JSONDecoder().decode(type, from: Data(text.utf8))
  }

  @Test func timesAreRFC3339() {
    #expect(APITime(milliseconds: 0).description == "1970-01-01T00:00:00.000Z")
    #expect(APITime(milliseconds: 951_827_696_789).description == "2000-02-29T12:34:56.789Z")
    #expect(APITime(milliseconds: .max).description == "9999-12-31T23:59:59.999Z")
    #expect(APITime("2000-02-29T12:34:56.789Z")?.milliseconds == 951_827_696_789)
    #expect(APITime("2000-02-29t14:34:56.789123+02:00")?.milliseconds == 951_827_696_789)
    #expect(APITime("1999-12-31T23:00:00-01:30")?.milliseconds == 946_686_600_000)
    for bad in [
      "", "2001-02-29T00:00:00Z", "2000-13-01T00:00:00Z", "2000-01-01T24:00:00Z", "2000-01-01",
      "2000-01-01T00:00:00", "2000-01-01T00:00:00Zx", "2000-01-01T00:00:00.Z",
      "1969-12-31T23:59:59Z", "2000-01-01T00:00:00+1:00",
    ] { #expect(APITime(bad) == nil, "\(bad)") }
  }

  @Test func datesAgreeWithFoundation() throws {
    let formatter = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
    var rng = SeededGenerator(seed: 1)
    for _ in 0..<2000 {
      let milliseconds = UInt64.random(in: 0...APITime.maximumMilliseconds, using: &rng)
      let text = APITime(milliseconds: milliseconds).description
      let date = try formatter.parse(text)
      #expect(abs(date.timeIntervalSince1970 * 1000 - Double(milliseconds)) < 1)
      #expect(APITime(text)?.milliseconds == milliseconds)
    }
  }

  @Test func valuesSurviveTheWayThereAndBack() throws {
    let value: Value = [
      "text": "a \"quoted\" / é", "number": -5, "truth": true, "nothing": .null,
      "bytes": .bytes([0, 255]), "empty": .bytes([]), "list": [1, "x", [:], []],
      "$bytes": "not bytes", "$$x": 1,
    ]
    let text = try json(value)
    #expect(text.contains(#""bytes":{"$bytes":"00ff"}"#))
    #expect(text.contains(#""$$bytes":"not bytes""#))
    #expect(try read(text, as: Value.self) == value)
    // A map with nothing but a field of that name is still a map.
    let tricky: Value = ["$bytes": "00"]
    #expect(try read(json(tricky), as: Value.self) == tricky)
    #expect(try read(json(["x": .integer(.max)] as Value), as: Value.self)["x"] == .integer(.max))
  }

  @Test func valuesThatAreNoneAreRefused() {
    for bad in ["1.5", #"{"$bytes":"0g"}"#, #"{"$bytes":"000"}"#, "{"] {
      #expect(throws: (any Error).self) { try read(bad, as: Value.self) }
    }
    let deep = String(repeating: "[", count: 200) + String(repeating: "]", count: 200)
    #expect(throws: (any Error).self) { try read(deep, as: Value.self) }
  }

  @Test func identitiesAreHexadecimal() throws {
    struct All: Codable, Hashable {
      var digest: Digest
      var key: PublicKey
      var scope: Scope
      var capability: Capability
      var hlc: HybridTime
      var seen: VersionVector
    }
    var seen = VersionVector()
    let key = SigningKey().publicKey
    seen.include(key, 7)
    let all = All(
      digest: Sodium.sha256([1]), key: key, scope: .slice("blue"), capability: .slice("team-*"),
      hlc: .max, seen: seen)
    let text = try json(all)
    #expect(text.contains(#""hlc":"ffffffffffffffff""#))
    #expect(text.contains(#""scope":"slice/blue""#))
    #expect(text.contains(#""capability":"slice:team-*""#))
    #expect(text.contains(#""seen":[{"author":"\#(key.hex)","counter":7}]"#))
    #expect(try read(text, as: All.self) == all)
    #expect(throws: (any Error).self) { try read(#""00""#, as: Digest.self) }
  }
}
