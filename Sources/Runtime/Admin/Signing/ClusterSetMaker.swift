public import Base
public import Replication
internal import Slices
internal import Wire

/// Makes a new ClusterSet: its name and root keys, in bytes whose SHA-256 is its identity.
public enum ClusterSetMaker {
  public static let maximumRootKeys = 32

  /// - Parameter threshold: how many of the keys have to sign what the root does.
  public static func make(
    name: String, keys: [PublicKey], threshold: Int, zones: [String] = ["slice.local"],
    nowMilliseconds: UInt64
  ) throws(AdminError) -> Genesis {
    guard NameRules.isLabel(name) else {
      throw .usage("the name \"\(name)\" is not allowed", fix: "Allowed: \(NameRules.labelRule).")
    }
    let keys = Set(keys).sorted()
    guard (1...maximumRootKeys).contains(keys.count) else {
      throw .usage("a ClusterSet has 1 to \(maximumRootKeys) root keys, not \(keys.count)")
    }
    guard (1...keys.count).contains(threshold) else {
      throw .usage(
        "a threshold of \(threshold) cannot be met by \(keys.count) root keys",
        fix: "Give the public keys of the other root holders with --root-key.")
    }
    for zone in zones where !NameRules.isDomain(zone) {
      throw .usage("the zone \"\(zone)\" is no DNS name")
    }
    return GenesisCodec.make(
      name: name, root: RootKeys(keys: keys, threshold: threshold), zones: zones,
      createdMilliseconds: nowMilliseconds, salt: Sodium.randomBytes(16), crypto: .sodium)
  }

  public static func read(_ path: String) throws(AdminError) -> Genesis {
    let bytes = try TextFile.readBytes(path, limit: GenesisCodec.maximumBytes)
    do throws(WireError) {
      return try GenesisCodec.decode(bytes, crypto: .sodium)
    } catch {
      throw AdminError(.failed, "\(path): this is no genesis file: \(error)")
    }
  }
}
