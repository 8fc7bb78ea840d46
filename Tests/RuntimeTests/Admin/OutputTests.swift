import Base
import Replication
import Testing

@testable import Runtime

@Suite struct TableTests {
  @Test func alignsColumns() {
    var table = Table(
      [.init("NAME"), .init("N", right: true), .init("MORE", wide: true)], ifEmpty: "none")
    #expect(table.text(wide: false) == "none\n")
    table.rows = [["blue", "7", "x"], ["a-long-name", "1234", Table.Cell(String?.none)]]
    #expect(
      table.text(wide: false) == """
        NAME            N
        blue            7
        a-long-name  1234

        """)
    #expect(table.text(wide: true).contains("a-long-name  1234  -"))
  }

  @Test func coloursOnlyWhereWanted() {
    let table = Table([.init("A")], ifEmpty: "", rows: [[Table.Cell("x", .good)]])
    #expect(!table.text(wide: false).contains("\u{1b}"))
    #expect(table.text(wide: false, style: TextStyle(isColoured: true)).contains("\u{1b}[32mx"))
  }

  @Test func controlCharactersStayOut() {
    let table = Table([.init("A")], ifEmpty: "", rows: [["a\u{1b}[2Jb\nc"]])
    #expect(table.text(wide: false) == "A\na?[2Jb?c\n")
  }

  @Test func progress() {
    var bar = ProgressBar(total: 0)
    bar.follow(.expected(.init(clusters: ["a", "b", "c"], dead: [])))
    bar.follow(.confirmed(.init(cluster: "b", elapsedMilliseconds: 12.4, confirmed: 1, total: 3)))
    let line = bar.line(columns: 80)
    #expect(line.contains("1/3 clusters  12 ms  waiting for: a, c"))
    #expect(bar.line(columns: 40).count <= 40)
    var report = DeliveryReport()
    #expect(report.progressLine == nil)
    (report.confirmed, report.total, report.elapsedMilliseconds) = (3, 3, 182.6)
    #expect(report.progressLine == "3/3 clusters in 183 ms")
    report.missing = ["c"]
    #expect(throws: AdminError.self) { try report.checkArrival() }
  }

  @Test func diff() {
    let text = TextDiff.unified("a\nb\nc\n", "a\nB\nc\n", from: "x", to: "y")
    #expect(text == "--- x\n+++ y\n@@ -1 +1 @@\n a\n-b\n+B\n c\n")
    #expect(TextDiff.unified("a\n", "a\n", from: "x", to: "y").isEmpty)
  }

  @Test func ages() {
    let now = APITime(milliseconds: 1_000_000_000)
    #expect(Age.text(APITime(milliseconds: 999_990_000), now: now) == "10s")
    #expect(Age.text(APITime(milliseconds: 1_007_200_000), now: now) == "in 2h")
  }
}

@Suite struct OutputTreeTests {
  private func yaml(_ value: Value) -> String { OutputTree(value).yaml }

  @Test func writesBlocks() {
    let value: Value = [
      "spec": ["members": [["namespaces": ["shop", "pay"], "cluster": "eu-1"]], "x": [:]],
      "kind": "Slice",
    ]
    #expect(
      yaml(value) == """
        kind: Slice
        spec:
          members:
            - cluster: eu-1
              namespaces: [shop, pay]
          x: {}

        """)
  }

  @Test(arguments: [
    "", "no", "true", "null", "8", "0x1f", "1e3", "1.5", "2026-01-31", "1:30", "a: b", "#x", "- a",
    "line\nline", "tab\t", "\u{7}", "quote\"", "back\\slash", "10.11.0.0/16", "10.0.0.1", "8s",
    "24h", "slice:*", "*", "über", " lead", "trail ", "0o17", "~", "1_000", "[a]", "{a}",
  ])
  func stringsReadBackTheSame(_ text: String) throws {
    let value: Value = ["a": .string(text), "list": [.string(text)]]
    #expect(try YAMLDocument.parse(yaml(value), file: "x").value == value)
  }

  @Test func valuesReadBackTheSame() throws {
    let value: Value = [
      "a": [1, -5, true, .null, "x"], "b": [[["c": [[1, 2], [3]]], "d"]], "e": .list([]),
      "long": .list((0..<40).map { .string("item-\($0)") }),
    ]
    #expect(try YAMLDocument.parse(yaml(value), file: "x").value == value)
  }

  @Test func structuredFormats() throws {
    let member = APIMember(
      cluster: "eu-1", node: .zero, key: PublicKey(words: (1, 2, 3, 4)), isSelf: true,
      state: .alive, roundTripMilliseconds: 0.25)
    let json = try OutputFormat.json.text([member])
    #expect(json.contains("\"roundTripMilliseconds\" : 0.25"))
    let yaml = try OutputFormat.yaml.text([member])
    #expect(yaml.hasPrefix("- cluster: eu-1\n  addresses: []\n"))
    #expect(yaml.contains("roundTripMilliseconds: 0.25"))
  }
}
