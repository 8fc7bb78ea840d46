import Base
import Kubernetes
import Testing

@Suite struct JSONTests {
  private func parse(_ text: String) -> JSON? { try? JSON(parsing: text) }

  @Test func readsWhatTheAPIWrites() throws {
    let text = """
      {"kind":"Pod","metadata":{"name":"a\\u00e9\\ud83d\\ude00\\n","generation":3},
       "spec":{"x":-1.5e2,"y":[1,true,null,"\\/"],"z":{}}}
      """
    let json = try JSON(parsing: text)
    #expect(json.at("metadata", "name")?.string == "aé😀\n")
    #expect(json.at("metadata", "generation")?.integer == 3)
    #expect(json.at("spec", "x") == .number(-150))
    #expect(json.at("spec", "x")?.integer == -150)
    #expect(json.at("spec", "y")?.array == [1, true, .null, "/"])
    #expect(json.at("spec", "z") == .empty)
    #expect(json.at("spec", "absent", "more") == nil)
  }

  @Test func refusesWhatIsNotJSON() {
    let bad = [
      "", " ", "{", "}", "[1,]", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "01", "-", "1.", "1e", "+1",
      "nul", "truefalse", "1 2", "\"", "\"\\x\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\u12\"",
      "\"a\nb\"", "NaN", "[1", "{\"a\":1,\"a\":2}", "// c\n1", "1e999", "'a'",
    ]
    for text in bad { #expect(parse(text) == nil, "\(text)") }
    #expect((try? JSON(parsing: [0x22, 0xff, 0x22] as [UInt8])) == nil)
    #expect((try? JSON(parsing: [0x22, 0xed, 0xa0, 0x80, 0x22] as [UInt8])) == nil)
  }

  @Test func depthIsBounded() {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    #expect(parse(nested(JSONLimits.depth + 1)) != nil)
    #expect(parse(nested(JSONLimits.depth + 2)) == nil)
    #expect(parse(String(repeating: "[", count: 1_000_000)) == nil)
    #expect(parse(String(repeating: "{\"a\":", count: 100_000)) == nil)
  }

  @Test func sizeIsBounded() {
    let limits = JSONLimits(bytes: 16, values: 4)
    #expect((try? JSON(parsing: "[1,2,3]".utf8, limits: limits)) != nil)
    #expect((try? JSON(parsing: "[1,2,3,4]".utf8, limits: limits)) == nil)
    #expect((try? JSON(parsing: "                1".utf8, limits: limits)) == nil)
  }

  @Test func numbersKeepTheirKind() throws {
    #expect(try JSON(parsing: "9223372036854775807") == .integer(.max))
    #expect(try JSON(parsing: "-9223372036854775808") == .integer(.min))
    #expect(try JSON(parsing: "9223372036854775808").integer == nil)
    #expect(try JSON(parsing: "1.0").integer == 1)
  }

  @Test func whatIsWrittenReadsBack() throws {
    var rng = SeededGenerator(seed: 11)
    for _ in 0..<2000 {
      let value = Self.random(&rng, depth: 5)
      #expect(try JSON(parsing: value.bytes) == value)
    }
  }

  @Test func damagedBytesNeverTrap() throws {
    var rng = SeededGenerator(seed: 12)
    for _ in 0..<3000 {
      var bytes = Self.random(&rng, depth: 4).bytes
      for _ in 0..<Int.random(in: 1...4, using: &rng) where !bytes.isEmpty {
        let at = Int.random(in: bytes.indices, using: &rng)
        switch Int.random(in: 0..<3, using: &rng) {
        case 0: bytes[at] = .random(in: 0...255, using: &rng)
        case 1: bytes.remove(at: at)
        default: bytes.removeLast(bytes.count - at)
        }
      }
      _ = try? JSON(parsing: bytes)
    }
  }

  @Test func coverageIgnoresWhatOthersAdd() throws {
    let have = try JSON(
      parsing: #"{"spec":{"ports":[{"port":80,"protocol":"TCP","nodePort":31000}],"ip":"x"}}"#)
    func covers(_ text: String) throws -> Bool { have.covers(try JSON(parsing: text)) }
    #expect(try covers(#"{"spec":{"ports":[{"port":80}]}}"#))
    #expect(try covers(#"{"spec":{"ports":[{"port":80}],"selector":{}}}"#))
    #expect(try !covers(#"{"spec":{"ports":[{"port":81}]}}"#))
    #expect(try !covers(#"{"spec":{"ports":[{"port":80},{"port":81}]}}"#))
    #expect(try !covers(#"{"spec":{"ports":[]}}"#))
    #expect(try !covers(#"{"spec":{"selector":{"a":"b"}}}"#))
  }

  @Test func membersAreSetInOrder() {
    var value = JSON.empty
    for name in ["b", "a", "c"] { value[name] = .string(name) }
    value["b"] = nil
    value["c"] = 1
    #expect(value == ["a": "a", "c": 1])
    #expect(value.description == #"{"a":"a","c":1}"#)
  }

  static func random(_ rng: inout SeededGenerator, depth: Int) -> JSON {
    switch Int.random(in: 0..<(depth > 0 ? 8 : 6), using: &rng) {
    case 0: return .null
    case 1: return .bool(.random(using: &rng))
    case 2: return .integer(.random(in: .min ... .max, using: &rng))
    case 3: return .number(Double(Int64.random(in: -999...999, using: &rng)) + 0.5)
    case 4, 5:
      let texts = ["", "a", "\"\\/\u{8}\u{0}", "é\u{301}", "😀\u{2028}", "kind"]
      return .string(texts.randomElement(using: &rng) ?? "")
    case 6:
      return .array(
        (0..<Int.random(in: 0...4, using: &rng)).map { _ in random(&rng, depth: depth - 1) })
    default:
      var out: [String: JSON?] = [:]
      for _ in 0..<Int.random(in: 0...4, using: &rng) {
        out["k\(Int.random(in: 0...9, using: &rng))"] = random(&rng, depth: depth - 1)
      }
      return .object(out)
    }
  }
}
