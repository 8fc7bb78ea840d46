import Base
import Testing

@testable import Runtime

@Suite struct YAMLValueTests {
  func parse(_ text: String) throws(LocatedError) -> YAMLDocument {
    try YAMLDocument.parse(text, file: "a.yaml")
  }

  func failure(_ text: String) -> String {
    do {
      let document = try parse(text)
      return "read as \(document.value)"
    } catch {
      return error.description
    }
  }

  @Test func scalarsFollowTheCoreSchema() throws {
    let document = try parse(
      """
      text: no
      quoted: "5"
      tagged: !!str 5
      number: -12
      hex: 0x1f
      octal: 0o17
      huge: 99999999999999999999
      fraction: 0.5
      nothing: ~
      empty:
      yes: true
      date: 2026-01-31
      """)
    let expected: Value = [
      "text": "no", "quoted": "5", "tagged": "5", "number": -12, "hex": 31, "octal": 15,
      "huge": "99999999999999999999", "fraction": "0.5", "nothing": .null, "empty": .null,
      "yes": true, "date": "2026-01-31",
    ]
    #expect(document.value == expected)
  }

  @Test func everyFieldHasItsLine() throws {
    let document = try parse(
      """
      # a comment
      spec:
        members:
          - cluster: eu-1
            namespaces: [shop]
          - cluster: us-1
        qos: {priority: 1}
      """)
    #expect(document.line(of: "spec.members[1].cluster") == 6)
    #expect(document.line(of: "spec.qos.priority") == 7)
    // Missing fields stand where their parents do.
    #expect(document.line(of: "spec.members[0].gateway.type") == 4)
    #expect(document.line(of: "kind") == 2)
    #expect(
      document.error("spec.qos.priority", "is 9", allowed: "0 to 7").description
        == "a.yaml:7: spec.qos.priority: is 9; allowed: 0 to 7")
  }

  @Test func streamsHoldSeveralDocuments() throws {
    let documents = try YAMLDocument.parseAll("a: 1\n---\n---\nb: 2\n", file: "a.yaml")
    #expect(documents.map(\.value) == [["a": 1], ["b": 2]])
    #expect(failure("a: 1\n---\nb: 2\n").hasPrefix("a.yaml:3: a second document"))
    #expect(try parse("").value == .map([]))
    #expect(try parse("# nothing\n").value == .map([]))
  }

  @Test func aliasesAreResolvedWithinBounds() throws {
    #expect(try parse("a: &x [1]\nb: *x\n").value == ["a": [1], "b": [1]])
    var bomb = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    for i in 1...12 {
      bomb += "a\(i): &a\(i) [" + Array(repeating: "*a\(i - 1)", count: 10).joined(separator: ", ")
      bomb += "]\n"
    }
    #expect(failure(bomb).contains("more than 100000 nodes"))
  }

  @Test(arguments: [
    ("a: 1\nb: [1\n", "a.yaml:3: is not YAML:"),
    ("a: 1\na: 2\n", "a.yaml:1: a: is given twice"),
    ("a: 1\n\"a\": 2\n", "is given twice"),
    ("a: !!float 1\n", "a.yaml:1: a: has the tag"),
    ("a: !thing {b: 1}\n", "a.yaml:1: a: has the tag !thing; allowed: no tag"),
    ("a: *missing\n", "a.yaml:1: is not YAML: found undefined alias"),
    ("? [a, b]\n: 1\n", "a name is a list or a map; allowed: text"),
    ("a:\n  <<: {b: 1}\n", "a.yaml:2: a: merging (<<) is not supported"),
    ("\tb: 1\n", "a.yaml:1: is not YAML"),
  ])
  func badTextSaysWhere(_ text: String, _ expected: String) {
    #expect(failure(text).contains(expected), "\(failure(text))")
  }

  @Test func depthAndSizeAreBounded() {
    let deep = String(repeating: "[", count: 900) + String(repeating: "]", count: 900)
    #expect(failure(deep).contains("nested deeper than 16 levels"))
    let large = "a: " + String(repeating: "x", count: YAMLDocument.maximumBytes)
    #expect(failure(large).contains("larger than 1048576 bytes"))
    let veryDeep = String(repeating: "[", count: 200_000)
    #expect(failure(veryDeep).contains("is not YAML"))
  }
}
