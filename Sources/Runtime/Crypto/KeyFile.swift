public import Base
internal import Glibc

/// A private key on disk, as text that shows the public half:
///
///     -----BEGIN STARLING PRIVATE KEY-----
///     version: 1
///     public-key: 5f0c…            (64 hexadecimal digits)
///     protection: argon2id         (or none)
///     passes: 3
///     memory-kib: 65536
///     salt: …
///     box: …                       (nonce and secretbox of the seed; with `none`: seed: …)
///     -----END STARLING PRIVATE KEY-----
///
/// Admin keys are encrypted; peers' keys, which have to open without anybody present, are not. Either
/// is refused where others than its owner may read it.
public struct KeyFile: Sendable {
  public let path: String
  /// As the file says; `unlock` checks it.
  public let publicKey: PublicKey
  private let protection: Protection

  enum Protection: Sendable {
    case none(seed: [UInt8])
    case argon2id(KeyStrength, salt: [UInt8], box: [UInt8])
  }

  public var isEncrypted: Bool {
    if case .argon2id = protection { true } else { false }
  }

  static let maximumBytes = 4_096

  public init(reading path: String) throws(KeyFileError) {
    let content: PrivateFile.Content
    do throws(FileError) {
      content = try PrivateFile.read(path, limit: Self.maximumBytes)
    } catch {
      switch error.code {
      case ENOENT: throw .notFound(path)
      case EFBIG: throw .notAKeyFile(path)
      default: throw .unreadable(path, error.reason)
      }
    }
    guard content.isRegular else { throw .notAKeyFile(path) }
    guard !content.isExposed else { throw .exposed(path, mode: content.mode) }
    try self.init(parsing: content.bytes, path: path)
  }

  /// The key; asks nothing. `passphrase` is needed where the file is encrypted.
  public func unlock(passphrase: String? = nil) throws(KeyFileError) -> SigningKey {
    let seed: [UInt8]
    switch protection {
    case .none(let plain):
      seed = plain
    case .argon2id(let strength, let salt, let box):
      guard let passphrase else { throw .passphraseNeeded(path) }
      guard let boxKey = strength.key(passphrase, salt: salt) else { throw .outOfMemory(path) }
      guard let opened = SecretBox.open(box, key: boxKey) else { throw .wrongPassphrase(path) }
      seed = opened
    }
    guard let key = SigningKey(seed: seed) else { throw .damaged(path, "the key is not 32 bytes") }
    guard key.publicKey == publicKey else {
      throw .damaged(path, "the public key does not belong to the private key")
    }
    return key
  }

  /// Writes a new file of mode 0600.
  ///
  /// - Parameter passphrase: `nil` leaves the key unencrypted.
  /// - Parameter replacing: otherwise an existing file is an error.
  public static func write(
    _ key: SigningKey, to path: String, passphrase: String?, strength: KeyStrength = .standard,
    replacing: Bool = false
  ) throws(KeyFileError) {
    if !replacing, access(path, F_OK) == 0 { throw .exists(path) }
    var lines = [Self.begin, "version: 1", "public-key: \(key.publicKey.hex)"]
    if let passphrase {
      let salt = Sodium.randomBytes(KeyStrength.saltBytes)
      guard let boxKey = strength.key(passphrase, salt: salt) else { throw .outOfMemory(path) }
      lines += [
        "protection: argon2id", "passes: \(strength.passes)", "memory-kib: \(strength.memoryKiB)",
        "salt: \(salt.hex)", "box: \(SecretBox.seal(key.seed, key: boxKey).hex)",
      ]
    } else {
      lines += ["protection: none", "seed: \(key.seed.hex)"]
    }
    lines += [Self.end, ""]
    do throws(FileError) {
      try PrivateFile.write(Array(lines.joined(separator: "\n").utf8), to: path)
    } catch {
      throw .unwritable(path, error.reason)
    }
  }

  /// The key of a peer: read from `path`, or made there at the first start.
  public static func openOrCreatePlain(_ path: String) throws(KeyFileError) -> SigningKey {
    do throws(KeyFileError) {
      return try KeyFile(reading: path).unlock()
    } catch {
      guard case .notFound = error else { throw error }
      let key = SigningKey()
      try write(key, to: path, passphrase: nil)
      return key
    }
  }
}

// MARK: - Reading

extension KeyFile {
  static let begin = "-----BEGIN STARLING PRIVATE KEY-----"
  static let end = "-----END STARLING PRIVATE KEY-----"

  init(parsing bytes: [UInt8], path: String) throws(KeyFileError) {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .notAKeyFile(path) }
    var lines = text.split(whereSeparator: \.isNewline).map { trimmed($0) }
    guard lines.first == Self.begin else { throw .notAKeyFile(path) }
    guard lines.last == Self.end else { throw .damaged(path, "its last line is missing") }
    lines.removeFirst()
    lines.removeLast()
    var fields: [String: String] = [:]
    for line in lines {
      guard let colon = line.firstIndex(of: ":") else {
        throw .damaged(path, "a line has no \":\"")
      }
      fields[String(line[..<colon])] = trimmed(line[line.index(after: colon)...])
    }
    func field(_ name: String, count: Int) throws(KeyFileError) -> [UInt8] {
      guard let value = fields[name].flatMap({ [UInt8](hex: $0) }), value.count == count else {
        throw .damaged(path, "\(name) is not \(count) bytes in hexadecimal")
      }
      return value
    }
    guard let version = fields["version"] else { throw .damaged(path, "its version is missing") }
    guard version == "1" else { throw .unknownVersion(path, version) }
    guard let publicKey = PublicKey(try field("public-key", count: 32)) else {
      throw .damaged(path, "public-key is not 32 bytes")
    }
    self.path = path
    self.publicKey = publicKey
    switch fields["protection"] {
    case "none":
      protection = .none(seed: try field("seed", count: SigningKey.seedBytes))
    case "argon2id":
      guard let passes = fields["passes"].flatMap({ Int($0) }),
        let memory = fields["memory-kib"].flatMap({ Int($0) }),
        let strength = KeyStrength(passes: passes, memoryKiB: memory)
      else { throw .damaged(path, "passes or memory-kib is missing or out of range") }
      protection = .argon2id(
        strength, salt: try field("salt", count: KeyStrength.saltBytes),
        box: try field("box", count: SecretBox.overhead + SigningKey.seedBytes))
    default:
      throw .damaged(path, "its protection is neither \"argon2id\" nor \"none\"")
    }
  }
}

private func trimmed(_ text: some StringProtocol) -> String {
  var rest = Substring(text)
  while rest.first?.isWhitespace == true { rest.removeFirst() }
  while rest.last?.isWhitespace == true { rest.removeLast() }
  return String(rest)
}
