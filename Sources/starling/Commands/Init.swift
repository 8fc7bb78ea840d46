import ArgumentParser
import Base
import Foundation
import Replication
import Runtime
import Wire

struct Init: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes a ClusterSet: a root key and a genesis, on this machine alone.",
    discussion: "Example: starling init --name prod")

  @Option(help: "Name of the ClusterSet, at most 63 bytes.")
  var name: String

  @Option(help: "Folder for root.key and genesis (default: beside the configuration).")
  var out: String?

  @Option(help: "How many root keys must sign together.")
  var threshold = 1

  @Option(name: .customLong("root-key"), help: "Public key of a further root; repeat for more.")
  var rootKeys: [PublicKey] = []

  @Option(help: "DNS zone of slice names; repeat for more.")
  var zone: [String] = ["slice.local"]

  func run() throws {
    var context = try AdminContext()
    let folder = out ?? URL(filePath: context.path).deletingLastPathComponent().path
    let keyPath = "\(folder)/root.key"
    let genesisPath = "\(folder)/genesis"
    guard !FileManager.default.fileExists(atPath: genesisPath) else {
      throw AdminError(
        .conflict, "\(genesisPath) exists: there is a ClusterSet here already",
        fix: "Choose another folder with --out.")
    }
    guard !name.isEmpty, name.utf8.count <= 63 else {
      throw AdminError(.invalid, "a ClusterSet's name has 1 to 63 bytes")
    }
    try FileManager.default.createDirectory(
      atPath: folder, withIntermediateDirectories: true,
      attributes: [.posixPermissions: 0o700])
    let passphrase = try Passphrase.choose("Passphrase for the new root key: ")
    let key = SigningKey()
    let keys = Set(rootKeys + [key.publicKey]).sorted()
    guard (1...keys.count).contains(threshold) else {
      throw AdminError(.invalid, "--threshold is 1 to \(keys.count), the number of root keys")
    }
    let genesis = GenesisCodec.make(
      name: name, root: RootKeys(keys: keys, threshold: threshold), zones: zone,
      createdMilliseconds: ChangesetBuilder.wallMilliseconds(), salt: Sodium.randomBytes(16),
      crypto: .sodium)
    do throws(KeyFileError) {
      try KeyFile.write(key, to: keyPath, passphrase: passphrase)
    } catch {
      throw AdminError(.failed, error.description)
    }
    try Data(genesis.bytes).write(to: URL(filePath: genesisPath), options: .atomic)
    context.keyFile = keyPath
    context.genesisFile = genesisPath
    try context.save()
    print("ClusterSet \(name) \(genesis.id.hex)")
    print("  root key  \(keyPath)  (\(key.publicKey.short); keep it safe, and its passphrase)")
    print("  genesis   \(genesisPath)")
    print("Next: starling token create --cluster NAME")
  }
}
