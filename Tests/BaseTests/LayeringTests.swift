import Foundation
import Testing

/// Arrows point one way: from the daemon to the cores to `Base`. What a target may import is written
/// down here, whatever the package's manifest would let it.
@Suite struct LayeringTests {
  private static let cores: [String: Set<String>] = [
    "Base": [],
    "Membership": ["Base"],
    "Replication": ["Base"],
    "Slices": ["Base", "Replication"],
    "Naming": ["Base", "Slices"],
    "Tunnel": ["Base"],
    "Kubernetes": ["Base", "Replication", "Slices"],
    "Nodes": ["Base", "Kubernetes", "Slices"],
    "Peer": ["Base", "Membership", "Replication", "Slices", "Naming"],
  ]

  private static let others: [String: Set<String>] = [
    "Wire": ["Base", "Membership", "Replication", "Peer", "SwiftProtobuf", "FoundationEssentials"],
    "starlingd": [
      "Base", "Runtime", "ArgumentParser", "Foundation", "Glibc", "Logging", "NIOCore", "NIOPosix",
      "ServiceLifecycle", "UnixSignals",
    ],
    "starling-gateway": [
      "Base", "Runtime", "ArgumentParser", "Foundation", "Logging",
    ],
    "starling-node-feed": [
      "Base", "Runtime", "ArgumentParser", "Foundation", "Logging", "ServiceLifecycle",
      "UnixSignals",
    ],
    "NodeHost": ["Base", "CNode", "Glibc", "Kubernetes", "Nodes"],
    "starling-node": ["Base", "Glibc", "Kubernetes", "NodeHost", "Nodes"],
    "starling-cni": ["Glibc", "Kubernetes", "NodeHost", "Nodes"],
    "starling": [
      "Base", "Replication", "Slices", "Wire", "Runtime", "ArgumentParser", "Foundation",
    ],
  ]

  /// Headers and module maps, and the one layer that may import everything.
  private static let free: Set<String> = [
    "CSodium", "CLZ4", "COpenSSL", "CLinux", "CNode", "Runtime",
  ]
  /// The targets over `Runtime`: nothing below may know them.
  private static let daemonOnly: Set<String> = [
    "starlingd", "starling", "starling-gateway", "starling-node", "starling-cni",
    "starling-node-feed",
  ]
  private static let lineLimit = 500

  private struct Source {
    var target: String
    var path: String
    var lines: [Substring]

    var isGenerated: Bool { path.contains("/Generated/") }

    var imports: Set<String> {
      Set(lines.compactMap { LayeringTests.importedModule(String($0)) })
    }
  }

  private static let root = URL(filePath: #filePath).resolvingSymlinksInPath()
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  private static func sources(_ folder: String) throws -> [Source] {
    let base = root.appending(path: folder)
    let names = try FileManager.default.subpathsOfDirectory(atPath: base.path)
    return try names.sorted().filter { $0.hasSuffix(".swift") }.map { name in
      let text = try String(contentsOf: base.appending(path: name), encoding: .utf8)
      return Source(
        target: String(name.prefix { $0 != "/" }), path: "\(folder)/\(name)",
        lines: text.split(separator: "\n", omittingEmptySubsequences: false))
    }
  }

  /// `Base` of `public import struct Base.Value`; `nil` for any other line.
  static func importedModule(_ line: String) -> String? {
    var words = line.split(separator: " ").drop { word in
      word.hasPrefix("@")
        || ["public", "package", "internal", "fileprivate", "private"].contains(word)
    }
    guard words.popFirst() == "import" else { return nil }
    if words.count > 1,
      ["struct", "class", "enum", "protocol", "func", "var"].contains(words.first)
    {
      words = words.dropFirst()
    }
    return words.first.map { String($0.prefix { $0 != "." }) }
  }

  @Test func importLinesAreRead() {
    #expect(Self.importedModule("import Base") == "Base")
    #expect(Self.importedModule("public import struct Base.Value  // why") == "Base")
    #expect(Self.importedModule("@preconcurrency internal import NIOCore") == "NIOCore")
    #expect(Self.importedModule("let import = 1") == nil)
    #expect(Self.importedModule("// import Base") == nil)
  }

  @Test func arrowsPointOneWay() throws {
    let allowed = Self.cores.merging(Self.others) { first, _ in first }
    let sources = try Self.sources("Sources")
    #expect(sources.count > 100)
    for source in sources where !Self.free.contains(source.target) && !source.isGenerated {
      let most = try #require(allowed[source.target], "no rule for the target \(source.target)")
      let surplus = source.imports.subtracting(most).sorted()
      #expect(surplus.isEmpty, "\(source.path) may not import \(surplus.joined(separator: ", "))")
    }
  }

  @Test func nothingImportsAnExecutable() throws {
    for source in try Self.sources("Sources") where !Self.daemonOnly.contains(source.target) {
      #expect(source.imports.isDisjoint(with: Self.daemonOnly), "\(source.path)")
    }
  }

  @Test func filesStayShort() throws {
    for folder in ["Sources", "Tests", "Simulations"] {
      let sources = (try? Self.sources(folder)) ?? []
      for source in sources where !source.isGenerated {
        #expect(
          source.lines.count <= Self.lineLimit,
          "\(source.path) has \(source.lines.count) lines; split it by concept")
      }
    }
  }
}
