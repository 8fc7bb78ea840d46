import ArgumentParser
import Foundation
import Runtime

struct Backup: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Writes a consistent copy of a peer's store to a file.",
    discussion: "Example: starling backup eu-1.backup")

  @Argument(help: "The file to write; never overwritten.") var file: String
  @OptionGroup var peer: PeerOptions

  func run() async throws {
    guard !FileManager.default.fileExists(atPath: file) else {
      throw AdminError(.conflict, "\(file) exists", fix: "Choose another name.")
    }
    try await peer.withClient { client in
      let partial = file + ".part"
      guard
        FileManager.default.createFile(
          atPath: partial, contents: nil, attributes: [.posixPermissions: 0o600]),
        let handle = FileHandle(forWritingAtPath: partial)
      else { throw AdminError(.failed, "cannot write \(partial)") }
      var bytes = 0
      try await client.download("/v1/backup") { chunk in
        try handle.write(contentsOf: chunk)
        bytes += chunk.count
      }
      try handle.close()
      try FileManager.default.moveItem(atPath: partial, toPath: file)
      print("\(file): \(bytes) bytes")
    }
  }
}

struct Restore: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Puts a backup into the data directory of a peer that is not running.",
    discussion: """
      Example: starling restore eu-1.backup --data-dir /var/lib/starling

      The restored peer starts a new boot epoch and learns its own counters from its peers.
      """)

  @Argument(help: "The backup.") var file: String
  @Option(name: .customLong("data-dir"), help: "The peer's data directory.") var dataDir: String

  func run() async throws {
    do {
      try await BackupFile(path: file).restore(to: dataDir)
    } catch let error as AdminError {
      throw error
    } catch {
      throw AdminError(.failed, "\(error)")
    }
    print("restored into \(dataDir)")
  }
}
