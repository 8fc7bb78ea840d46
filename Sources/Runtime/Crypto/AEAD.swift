internal import CSodium

/// ChaCha20-Poly1305 (RFC 8439) with a counter for its nonce.
enum AEAD {
  static let keyBytes = Int(crypto_aead_chacha20poly1305_ietf_KEYBYTES)
  static let tagBytes = Int(crypto_aead_chacha20poly1305_ietf_ABYTES)

  /// `header`, then the encrypted message and its tag, which covers both.
  static func seal(
    _ message: [UInt8], header: [UInt8], key: [UInt8], counter: UInt64
  ) -> [UInt8] {
    precondition(key.count == keyBytes)
    let nonce = nonce(counter)
    let total = header.count + message.count + tagBytes
    return [UInt8](unsafeUninitializedCapacity: total) { buffer, initialized in
      guard let start = buffer.baseAddress else { return }
      _ = buffer[..<header.count].initialize(fromContentsOf: header)
      _ = crypto_aead_chacha20poly1305_ietf_encrypt(
        start + header.count, nil, message, UInt64(message.count), header, UInt64(header.count),
        nil, nonce, key)
      initialized = total
    }
  }

  /// `nil` unless header, message and tag are what was sealed under this key and counter.
  static func open(
    _ datagram: [UInt8], headerBytes: Int, key: [UInt8], counter: UInt64
  ) -> [UInt8]? {
    guard key.count == keyBytes, datagram.count >= headerBytes + tagBytes else { return nil }
    let nonce = nonce(counter)
    let boxBytes = datagram.count - headerBytes
    var isAuthentic = false
    let message = datagram.withUnsafeBufferPointer { source in
      [UInt8](unsafeUninitializedCapacity: max(boxBytes - tagBytes, 1)) { buffer, initialized in
        guard let input = source.baseAddress, let output = buffer.baseAddress else { return }
        isAuthentic =
          crypto_aead_chacha20poly1305_ietf_decrypt(
            output, nil, nil, input + headerBytes, UInt64(boxBytes), input, UInt64(headerBytes),
            nonce, key) == 0
        initialized = isAuthentic ? boxBytes - tagBytes : 0
      }
    }
    return isAuthentic ? message : nil
  }

  /// Four zero bytes and the counter, big-endian.
  private static func nonce(_ counter: UInt64) -> [UInt8] {
    var nonce = [UInt8](repeating: 0, count: Int(crypto_aead_chacha20poly1305_ietf_NPUBBYTES))
    for index in 0..<8 {
      nonce[4 + index] = UInt8(truncatingIfNeeded: counter >> UInt64(56 - 8 * index))
    }
    return nonce
  }
}
