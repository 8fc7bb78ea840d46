public import Base
internal import Foundation
internal import Glibc
public import Replication
internal import Wire

/// What `starling` remembers between commands: which peer, which key, which ClusterSet.
///
/// A YAML file, `~/.config/starling/config.yaml` or `$STARLING_CONFIG`; flags override it.
public struct AdminContext: Sendable {
  public var path: String
  /// `unix:///path/to/api.sock` or `https://host:port`.
  public var peer: String?
  public var keyFile: String?
  public var genesisFile: String?
  /// PEM file that an `https` peer's certificate has to chain to.
  public var authorityFile: String?

  static let fields = ["peer", "key", "genesis", "ca"]

  public static func defaultPath(_ environment: [String: String]) -> String {
    if let path = environment["STARLING_CONFIG"], !path.isEmpty { return path }
    let base =
      environment["XDG_CONFIG_HOME"].flatMap { $0.isEmpty ? nil : $0 }
      ?? (environment["HOME"] ?? ".") + "/.config"
    return base + "/starling/config.yaml"
  }

  public init() throws(AdminError) {
    path = Self.defaultPath(ProcessInfo.processInfo.environment)
    guard let data = FileManager.default.contents(atPath: path) else { return }
    let text = String(decoding: data, as: UTF8.self)
    let document: YAMLDocument
    do throws(LocatedError) {
      document = try YAMLDocument.parse(text, file: path)
    } catch {
      throw AdminError(.invalid, error.description)
    }
    for field in document.value.fields ?? [] where !Self.fields.contains(field.name) {
      throw AdminError(
        .invalid,
        document.error(
          field.name, "is not known", allowed: Self.fields.joined(separator: ", ")
        ).description)
    }
    peer = document.value["peer"]?.string
    keyFile = document.value["key"]?.string
    genesisFile = document.value["genesis"]?.string
    authorityFile = document.value["ca"]?.string
  }

  /// Writes the file, making its folder.
  public func save() throws(AdminError) {
    let lines = [("peer", peer), ("key", keyFile), ("genesis", genesisFile), ("ca", authorityFile)]
      .compactMap { name, value in value.map { "\(name): \"\($0)\"\n" } }
    do {
      let folder = URL(filePath: path).deletingLastPathComponent()
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      try Data(lines.joined().utf8).write(to: URL(filePath: path), options: .atomic)
    } catch {
      throw AdminError(.failed, "cannot write \(path): \(error)")
    }
  }

  public func genesis() throws(AdminError) -> Genesis {
    guard let genesisFile else {
      throw AdminError(
        .invalid, "no ClusterSet is known here", fix: "Run `starling init`, or name --genesis.")
    }
    guard let data = FileManager.default.contents(atPath: genesisFile) else {
      throw AdminError(.invalid, "cannot read the genesis file \(genesisFile)")
    }
    do throws(WireError) {
      return try GenesisCodec.decode([UInt8](data), crypto: .sodium)
    } catch {
      throw AdminError(.invalid, "\(genesisFile) is not a genesis file: \(error)")
    }
  }

  /// The key, unlocked with the passphrase where it needs one.
  public func unlockKey() throws(AdminError) -> SigningKey {
    guard let keyFile else {
      throw AdminError(.invalid, "no key is chosen", fix: "Name one with --key, or run `init`.")
    }
    return try Self.unlock(keyFile)
  }

  public static func unlock(_ path: String) throws(AdminError) -> SigningKey {
    do throws(KeyFileError) {
      let file = try KeyFile(reading: path)
      guard file.isEncrypted else { return try file.unlock() }
      let passphrase: String
      do throws(AdminError) {
        passphrase = try Passphrase.read("Passphrase for \(path): ")
      } catch {
        throw KeyFileError.passphraseNeeded(path)
      }
      return try file.unlock(passphrase: passphrase)
    } catch {
      throw AdminError(.failed, error.description)
    }
  }
}
