internal import CSodium

/// What guessing one passphrase costs: Argon2id (RFC 9106) passes and memory.
public struct KeyStrength: Hashable, Sendable {
  public let passes: Int
  public let memoryKiB: Int

  /// `nil` outside what is sane: a file must not be able to demand all memory.
  public init?(passes: Int, memoryKiB: Int) {
    guard (1...16).contains(passes), (8...1_048_576).contains(memoryKiB) else { return nil }
    self.init(checkedPasses: passes, memoryKiB: memoryKiB)
  }

  private init(checkedPasses passes: Int, memoryKiB: Int) {
    self.passes = passes
    self.memoryKiB = memoryKiB
  }

  /// The second recommendation of RFC 9106 section 4: 3 passes over 64 MiB, about 0.2 s.
  public static let standard = KeyStrength(checkedPasses: 3, memoryKiB: 65_536)
  /// Protects nothing: for tests.
  public static let weakest = KeyStrength(checkedPasses: 1, memoryKiB: 8)

  static let saltBytes = Int(crypto_pwhash_argon2id_SALTBYTES)

  /// `nil` where the memory is not there.
  func key(_ passphrase: String, salt: [UInt8]) -> [UInt8]? {
    guard salt.count == Self.saltBytes else { return nil }
    Sodium.start()
    let text = passphrase.utf8.map { CChar(bitPattern: $0) }
    var key = [UInt8](repeating: 0, count: SecretBox.keyBytes)
    let status = crypto_pwhash(
      &key, UInt64(key.count), text, UInt64(text.count), salt, UInt64(passes), memoryKiB * 1_024,
      crypto_pwhash_ALG_ARGON2ID13)
    return status == 0 ? key : nil
  }
}

/// XSalsa20-Poly1305 with a random nonce in front.
enum SecretBox {
  static let keyBytes = Int(crypto_secretbox_xsalsa20poly1305_KEYBYTES)
  private static let nonceBytes = Int(crypto_secretbox_xsalsa20poly1305_NONCEBYTES)
  private static let tagBytes = Int(crypto_secretbox_xsalsa20poly1305_MACBYTES)
  static let overhead = nonceBytes + tagBytes

  static func seal(_ message: [UInt8], key: [UInt8]) -> [UInt8] {
    precondition(key.count == keyBytes)
    let nonce = Sodium.randomBytes(nonceBytes)
    var box = [UInt8](repeating: 0, count: message.count + tagBytes)
    crypto_secretbox_easy(&box, message, UInt64(message.count), nonce, key)
    return nonce + box
  }

  static func open(_ sealed: [UInt8], key: [UInt8]) -> [UInt8]? {
    guard key.count == keyBytes, sealed.count >= overhead else { return nil }
    let (nonce, box) = (Array(sealed[..<nonceBytes]), Array(sealed[nonceBytes...]))
    var message = [UInt8](repeating: 0, count: box.count - tagBytes)
    guard crypto_secretbox_open_easy(&message, box, UInt64(box.count), nonce, key) == 0 else {
      return nil
    }
    return message
  }
}
