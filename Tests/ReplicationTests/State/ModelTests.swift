import Base
import Foundation
import Testing

@testable import Replication

/// The state against the executable specification, on histories that the latter made.
struct ModelTests {
  static func histories() throws -> [ModelHistory] {
    let file = try #require(
      Bundle.module.url(forResource: "histories", withExtension: "jsonl", subdirectory: "Vectors"))
    return try read(file)
  }

  private static func read(_ file: URL) throws -> [ModelHistory] {
    let text = try String(contentsOf: file, encoding: .utf8)
    return try text.split(separator: "\n").map { try #require(ModelHistory(line: $0)) }
  }

  @Test func agreesWithTheModel() throws {
    for (i, history) in try Self.histories().enumerated() {
      #expect(history.disagreement() == nil, "history \(i)")
    }
  }

  @Test func theOracleAgreesWithTheModel() throws {
    for (i, history) in try Self.histories().enumerated() {
      #expect(history.oracleDisagreement() == nil, "history \(i)")
    }
  }

  static let brokenRules: [(name: String, rules: CountingRules)] = {
    let paths: [(String, any WritableKeyPath<CountingRules, Bool> & Sendable)] = [
      ("keepListsSpare", \.keepListsSpare), ("floorsAreStrict", \.floorsAreStrict),
      ("floorsFromAboveBind", \.floorsFromAboveBind), ("ownFloorsBind", \.ownFloorsBind),
      ("ownFloorsSpareOneAnother", \.ownFloorsSpareOneAnother),
      ("floorsFromAboveBindOwnFloors", \.floorsFromAboveBindOwnFloors),
      ("voidGrantsVoidTheirSubtree", \.voidGrantsVoidTheirSubtree),
      ("rivalsDoNotCount", \.rivalsDoNotCount), ("rivalsAreEvidence", \.rivalsAreEvidence),
      ("coveringNeedsTime", \.coveringNeedsTime), ("coveringNeedsAuthor", \.coveringNeedsAuthor),
      ("grantsStay", \.grantsStay), ("subsumingNeedsKeep", \.subsumingNeedsKeep),
      ("contextsCover", \.contextsCover),
    ]
    return paths.map { name, path in
      var rules = CountingRules()
      rules[keyPath: path] = false
      return (name, rules)
    }
  }()

  /// A rule that is broken on purpose must show.
  @Test func noticesEveryBrokenRule() throws {
    let histories = try Self.histories()
    for (name, rules) in Self.brokenRules {
      #expect(histories.contains { $0.disagreement(rules) != nil }, "\(name) is not noticed")
    }
  }

  /// `deploy/model-check` names a file with as many histories as one likes.
  @Test(.enabled(if: ProcessInfo.processInfo.environment["STARLING_HISTORIES"] != nil))
  func agreesOnAFileOfHistories() throws {
    let path = try #require(ProcessInfo.processInfo.environment["STARLING_HISTORIES"])
    let data = try Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped)
    var checked = 0
    var sets = 0
    for line in data.split(separator: UInt8(ascii: "\n")) {
      let history = try #require(ModelHistory(line: String(decoding: line, as: UTF8.self)))
      let difference = history.disagreement()
      #expect(difference == nil, "history \(checked)")
      checked += 1
      sets += history.sets.count
    }
    print("\(checked) histories, \(sets) sets of changesets: the state agrees with the model")
  }
}
