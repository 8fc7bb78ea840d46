public import ArgumentParser
public import Base
import Foundation
public import Replication
import Runtime

/// How a command reaches a peer.
struct PeerOptions: ParsableArguments {
  @Option(help: "A peer: unix:///path/api.sock or https://host:port (default: as configured).")
  var peer: String?

  @Option(help: "PEM file with the CA that an https peer has to chain to.")
  var ca: String?

  @Option(
    help: """
      The key file to sign with (default: as configured). Asks for its passphrase, or reads \
      STARLING_PASSPHRASE or the file STARLING_PASSPHRASE_FILE.
      """)
  var key: String?

  func context() throws -> AdminContext {
    var context = try AdminContext()
    context.peer = peer ?? ProcessInfo.processInfo.environment["STARLING_PEER"] ?? context.peer
    context.keyFile = key ?? context.keyFile
    context.authorityFile = ca ?? context.authorityFile
    return context
  }

  /// A client of the chosen peer. Requests over TLS are signed, so they need the key.
  func client() throws -> PeerClient {
    let context = try context()
    guard let peer = context.peer else {
      throw AdminError(
        .invalid, "no peer is chosen",
        fix: "Name one with --peer, or set `peer` in \(context.path).")
    }
    let signer = peer.hasPrefix("https") ? try context.unlockKey().signer : nil
    return try PeerClient(peer: peer, signer: signer, authorityFile: context.authorityFile)
  }

  func withClient<T>(_ body: (PeerClient) async throws -> T) async throws -> T {
    let client = try client()
    do {
      let result = try await body(client)
      await client.close()
      return result
    } catch {
      await client.close()
      throw error
    }
  }
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
  case table, wide, json, yaml
}

struct OutputOptions: ParsableArguments {
  @Option(name: [.short, .long], help: "table, wide, json or yaml.")
  var output = OutputFormat.table

  /// Prints the object, or the table that is made of it.
  func print<T: Encodable>(_ object: T, table: (_ wide: Bool) -> String) throws {
    switch output {
    case .table: Swift.print(table(false))
    case .wide: Swift.print(table(true))
    case .json, .yaml:
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      let data = try encoder.encode(object)
      if output == .json {
        Swift.print(String(decoding: data, as: UTF8.self))
      } else {
        Swift.print(try JSONText.value(data).yaml, terminator: "")
      }
    }
  }
}

extension PublicKey: ExpressibleByArgument {
  public init?(argument: String) {
    self.init(hex: argument)
  }
}

extension Capability: ExpressibleByArgument {
  public init?(argument: String) {
    self.init(argument)
  }
}
