public import Base
internal import Replication

/// What `starling init` asks for.
public struct ClusterSetRequest: Hashable, Sendable {
  public var name: String
  /// For the files; `nil`: that of the context.
  public var folder: String?
  public var threshold: Int
  /// Root keys besides the one that is made here.
  public var otherKeys: [PublicKey]
  public var zones: [String]
  public var isEncrypted: Bool

  public init(
    name: String, folder: String? = nil, threshold: Int = 1, otherKeys: [PublicKey] = [],
    zones: [String] = ["slice.local"], isEncrypted: Bool = true
  ) {
    self.name = name
    self.folder = folder
    self.threshold = threshold
    self.otherKeys = otherKeys
    self.zones = zones
    self.isEncrypted = isEncrypted
  }
}

/// What `starling init` made, as `-o json` shows it. Field names are stable.
public struct ClusterSetReport: Codable, Hashable, Sendable {
  public var id: Digest
  public var name: String
  public var rootKeys: [PublicKey]
  public var rootThreshold: Int
  public var keyFile: String
  public var genesisFile: String
  public var contextFile: String

  public var text: String {
    """
    ClusterSet \(name), \(id.hex)
      root key  \(keyFile)  (keep it safe, and a copy of it offline)
      genesis   \(genesisFile)
      context   \(contextFile)
    Next: starling token create --cluster NAME > NAME.token

    """
  }
}

/// A key, as `-o json` shows it.
public struct KeyReport: Codable, Hashable, Sendable {
  public var file: String
  public var key: PublicKey
  public var isEncrypted: Bool
}

extension AdminSession {
  public func makeClusterSet(_ request: ClusterSetRequest) throws(AdminError) -> ClusterSetReport {
    let folder = request.folder ?? context.folder
    let genesisFile = "\(folder)/genesis"
    guard context.genesis == nil, !TextFile.exists(genesisFile) else {
      throw AdminError(
        .failed,
        "\(context.genesis == nil ? genesisFile : context.path): there is a ClusterSet already",
        fix: "Make another one with a context of its own: --config FILE --out FOLDER.")
    }
    // Everything is checked before a key is made.
    let standIn = SigningKey().publicKey
    _ = try ClusterSetMaker.make(
      name: request.name, keys: request.otherKeys + [standIn], threshold: request.threshold,
      zones: request.zones, nowMilliseconds: now.milliseconds)
    try TextFile.makeDirectory(folder)
    let keyFile: String
    let key: PublicKey
    if let given = options.key {
      (keyFile, key) = (given, try showKey(given).key)
    } else {
      let made = try makeKey(at: "\(folder)/root.key", isEncrypted: request.isEncrypted)
      (keyFile, key) = (made.file, made.key)
    }
    let genesis = try ClusterSetMaker.make(
      name: request.name, keys: request.otherKeys + [key], threshold: request.threshold,
      zones: request.zones, nowMilliseconds: now.milliseconds)
    try TextFile.write(genesis.bytes, to: genesisFile)
    var context = context
    context.clusterSet = genesis.name
    context.genesis = Self.absolute(genesisFile)
    context.key = Self.absolute(keyFile)
    context.peer = options.peer ?? context.peer
    try context.save()
    return ClusterSetReport(
      id: genesis.id, name: genesis.name, rootKeys: genesis.root.keys,
      rootThreshold: genesis.root.threshold, keyFile: keyFile, genesisFile: genesisFile,
      contextFile: context.path)
  }

  public func makeKey(at path: String, isEncrypted: Bool) throws(AdminError) -> KeyReport {
    if TextFile.exists(path) {
      throw AdminError(.failed, "\(path): the file exists already; it is not overwritten")
    }
    let passphrase = isEncrypted ? try self.passphrase.new(for: path) : nil
    let key = SigningKey()
    do throws(KeyFileError) {
      try KeyFile.write(key, to: path, passphrase: passphrase)
    } catch {
      throw AdminError.from(error)
    }
    return KeyReport(file: path, key: key.publicKey, isEncrypted: isEncrypted)
  }

  public func showKey(_ path: String?) throws(AdminError) -> KeyReport {
    let path = if let path { path } else { try keyPath() }
    do throws(KeyFileError) {
      let file = try KeyFile(reading: path)
      return KeyReport(file: path, key: file.publicKey, isEncrypted: file.isEncrypted)
    } catch {
      throw AdminError.from(error)
    }
  }

  /// Writes the peer, key and CA that flags name into the context.
  public func saveContext() throws(AdminError) {
    var context = context
    if let peer = options.peer { context.peer = try PeerAddress(peer).description }
    if let key = options.key { context.key = Self.absolute(try showKey(key).file) }
    if let ca = options.ca { context.ca = Self.absolute(ca) }
    try context.save()
  }

  static func absolute(_ path: String) -> String {
    path.hasPrefix("/") ? path : "\(TextFile.currentDirectory)/\(path)"
  }
}
