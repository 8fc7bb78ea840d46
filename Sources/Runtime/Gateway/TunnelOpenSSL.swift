internal import COpenSSL
internal import Tunnel

/// The control path's cryptography, backed by OpenSSL. Sizes are checked before C sees them.
enum TunnelOpenSSL {
  static let keySize = 32

  static let crypto = TunnelCrypto(
    random: random,
    makeKeyPair: {
      let privateKey = random(keySize)
      return TunnelCrypto.KeyPair(
        privateKey: privateKey, publicKey: publicKey(of: privateKey) ?? [])
    },
    agree: agree, derive: derive, authenticate: authenticate, seal: seal, open: open)

  static func random(_ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      let result = RAND_bytes(buffer.baseAddress, Int32(count))
      precondition(result == 1, "OpenSSL found no source of random numbers")
      initialized = count
    }
  }

  /// The public half of an X25519 key; `nil` for a private key that is not 32 bytes.
  static func publicKey(of privateKey: [UInt8]) -> [UInt8]? {
    guard privateKey.count == keySize,
      let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nil, privateKey, keySize)
    else { return nil }
    defer { EVP_PKEY_free(key) }
    var count = keySize
    var out = [UInt8](repeating: 0, count: keySize)
    guard EVP_PKEY_get_raw_public_key(key, &out, &count) == 1, count == keySize else { return nil }
    return out
  }

  /// X25519. OpenSSL refuses an all-zero result, which only low-order points give.
  private static func agree(_ privateKey: [UInt8], _ publicKey: [UInt8]) -> [UInt8]? {
    guard privateKey.count == keySize, publicKey.count == keySize,
      let own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nil, privateKey, keySize)
    else { return nil }
    defer { EVP_PKEY_free(own) }
    guard let theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nil, publicKey, keySize) else {
      return nil
    }
    defer { EVP_PKEY_free(theirs) }
    guard let context = EVP_PKEY_CTX_new(own, nil) else { return nil }
    defer { EVP_PKEY_CTX_free(context) }
    var count = keySize
    var out = [UInt8](repeating: 0, count: keySize)
    guard EVP_PKEY_derive_init(context) == 1, EVP_PKEY_derive_set_peer(context, theirs) == 1,
      EVP_PKEY_derive(context, &out, &count) == 1, count == keySize
    else {
      ERR_clear_error()
      return nil
    }
    return out
  }

  private static func authenticate(_ key: [UInt8], _ message: [UInt8]) -> [UInt8] {
    var out = [UInt8](repeating: 0, count: 32)
    var count: UInt32 = 0
    let result = HMAC(
      EVP_sha256(), key, Int32(key.count), message, message.count, &out, &count)
    precondition(result != nil && count == 32, "HMAC-SHA-256 is part of every OpenSSL")
    return out
  }

  /// HKDF (RFC 5869) with SHA-256: extract, then expand.
  private static func derive(
    _ secret: [UInt8], _ salt: [UInt8], _ info: [UInt8], _ count: Int
  ) -> [UInt8] {
    precondition(count <= 255 * 32, "RFC 5869 section 2.3")
    let salt = salt.isEmpty ? [UInt8](repeating: 0, count: 32) : salt
    let pseudorandom = authenticate(salt, secret)
    var out: [UInt8] = []
    var block: [UInt8] = []
    var index: UInt8 = 1
    while out.count < count {
      block = authenticate(pseudorandom, block + info + [index])
      out += block
      index &+= 1
    }
    return Array(out.prefix(count))
  }

  private static func seal(
    _ key: [UInt8], _ nonce: [UInt8], _ header: [UInt8], _ text: [UInt8]
  ) -> [UInt8] {
    precondition(key.count == keySize && nonce.count == 12, "derived with these sizes")
    var sealed = text + [UInt8](repeating: 0, count: 16)
    guard let cipher = starling_gcm_create(key, 1) else { preconditionFailure("out of memory") }
    defer { starling_gcm_free(cipher) }
    set(nonce, of: cipher)
    let result = sealed.withUnsafeMutableBufferPointer { buffer in
      starling_gcm_seal(
        cipher, header, Int32(header.count), buffer.baseAddress, Int32(text.count),
        buffer.baseAddress.map { $0 + text.count })
    }
    precondition(result == 1, "AES-256-GCM is part of every OpenSSL")
    return sealed
  }

  private static func open(
    _ key: [UInt8], _ nonce: [UInt8], _ header: [UInt8], _ sealed: [UInt8]
  ) -> [UInt8]? {
    guard key.count == keySize, nonce.count == 12, sealed.count >= 16,
      let cipher = starling_gcm_create(key, 0)
    else { return nil }
    defer { starling_gcm_free(cipher) }
    set(nonce, of: cipher)
    let count = sealed.count - 16
    var text = sealed
    let result = text.withUnsafeMutableBufferPointer { buffer in
      starling_gcm_open(
        cipher, header, Int32(header.count), buffer.baseAddress, Int32(count),
        buffer.baseAddress.map { $0 + count })
    }
    guard result == 1 else { return nil }
    return Array(text.prefix(count))
  }

  private static func set(_ nonce: [UInt8], of cipher: UnsafeMutablePointer<starling_gcm>) {
    withUnsafeMutableBytes(of: &cipher.pointee.nonce) { $0.copyBytes(from: nonce) }
  }

  /// The newest reason that OpenSSL gave, as a sentence.
  static func lastError() -> String {
    let code = ERR_get_error()
    ERR_clear_error()
    guard code != 0, let text = ERR_reason_error_string(code) else { return "unknown TLS error" }
    return String(cString: text)
  }
}

/// The cipher of one lane of one epoch: prepared for its key, with the initialisation vector. A plain
/// value, freed by whoever owns the table beside it.
struct PacketCipher {
  private let cipher: UnsafeMutablePointer<starling_gcm>
  private let iv: PacketIV

  /// `nil` where OpenSSL refuses, which it does only out of memory.
  init?(_ key: LaneKey, encrypts: Bool) {
    guard key.key.count == TunnelOpenSSL.keySize,
      let cipher = starling_gcm_create(key.key, encrypts ? 1 : 0)
    else { return nil }
    self.cipher = cipher
    iv = key.iv
  }

  func free() {
    starling_gcm_free(cipher)
  }

  /// Seals `length` bytes behind the header in place; the tag goes behind them.
  @inline(__always)
  func seal(_ packet: UnsafeMutablePointer<UInt8>, length: Int, counter: UInt64) -> Bool {
    setNonce(counter)
    let text = packet + PacketHeader.size
    return starling_gcm_seal(
      cipher, packet, Int32(PacketHeader.size), text, Int32(length), text + length) == 1
  }

  /// Opens the `length` bytes between header and tag in place.
  @inline(__always)
  func open(_ packet: UnsafeMutablePointer<UInt8>, length: Int, counter: UInt64) -> Bool {
    setNonce(counter)
    let text = packet + PacketHeader.size
    return starling_gcm_open(
      cipher, packet, Int32(PacketHeader.size), text, Int32(length), text + length) == 1
  }

  /// Twelve bytes in network order.
  @inline(__always)
  private func setNonce(_ counter: UInt64) {
    let nonce = iv.nonce(counter)
    withUnsafeMutableBytes(of: &cipher.pointee.nonce) { bytes in
      bytes.storeBytes(of: nonce.high.bigEndian, as: UInt32.self)
      bytes.storeBytes(of: nonce.low.bigEndian, toByteOffset: 4, as: UInt64.self)
    }
  }
}
