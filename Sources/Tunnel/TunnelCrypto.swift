/// Cryptography of the control path as the core sees it. The gateway backs it with OpenSSL, the
/// simulator with something cheap. Packets of the data path are sealed outside of the core, under
/// the keys, counters and windows that the core names.
public struct TunnelCrypto: Sendable {
  /// Bytes that nobody can guess and that never repeat: salts, cookies, session numbers.
  public var random: @Sendable (_ count: Int) -> [UInt8]
  /// A fresh X25519 pair.
  public var makeKeyPair: @Sendable () -> KeyPair
  /// X25519 (RFC 7748); `nil` for a malformed or low-order public key.
  public var agree: @Sendable (_ privateKey: [UInt8], _ publicKey: [UInt8]) -> [UInt8]?
  /// HKDF with SHA-256 (RFC 5869).
  public var derive:
    @Sendable (_ secret: [UInt8], _ salt: [UInt8], _ info: [UInt8], _ count: Int) -> [UInt8]
  /// HMAC-SHA-256.
  public var authenticate: @Sendable (_ key: [UInt8], _ message: [UInt8]) -> [UInt8]
  /// AES-256-GCM: ciphertext, then the 16-byte tag.
  public var seal:
    @Sendable (_ key: [UInt8], _ nonce: [UInt8], _ header: [UInt8], _ text: [UInt8]) -> [UInt8]
  /// `nil` where the tag does not fit.
  public var open:
    @Sendable (_ key: [UInt8], _ nonce: [UInt8], _ header: [UInt8], _ sealed: [UInt8]) -> [UInt8]?

  public struct KeyPair: Sendable {
    public var privateKey: [UInt8]
    public var publicKey: [UInt8]

    public init(privateKey: [UInt8], publicKey: [UInt8]) {
      self.privateKey = privateKey
      self.publicKey = publicKey
    }
  }

  public init(
    random: @escaping @Sendable (Int) -> [UInt8],
    makeKeyPair: @escaping @Sendable () -> KeyPair,
    agree: @escaping @Sendable ([UInt8], [UInt8]) -> [UInt8]?,
    derive: @escaping @Sendable ([UInt8], [UInt8], [UInt8], Int) -> [UInt8],
    authenticate: @escaping @Sendable ([UInt8], [UInt8]) -> [UInt8],
    seal: @escaping @Sendable ([UInt8], [UInt8], [UInt8], [UInt8]) -> [UInt8],
    open: @escaping @Sendable ([UInt8], [UInt8], [UInt8], [UInt8]) -> [UInt8]?
  ) {
    self.random = random
    self.makeKeyPair = makeKeyPair
    self.agree = agree
    self.derive = derive
    self.authenticate = authenticate
    self.seal = seal
    self.open = open
  }
}

/// Which side of TLS 1.3 we are: the initiator of a handshake is the client.
public enum TLSRole: Hashable, Sendable {
  case client
  case server

  var peer: TLSRole { self == .client ? .server : .client }
}

/// One TLS 1.3 handshake with both certificates, driven by bytes. Verification of the far side
/// (chain to that cluster's CA, expected SPIFFE URI) is the engine's.
public struct TLSEngine: Sendable {
  /// Takes bytes of the far side (none at the start), gives bytes for it and where things stand.
  public var advance: @Sendable (_ received: [UInt8]) -> TLSProgress
  /// Keying material (RFC 8446 section 7.5); `nil` before the handshake is finished.
  public var export: @Sendable (_ label: String, _ context: [UInt8], _ count: Int) -> [UInt8]?

  public init(
    advance: @escaping @Sendable ([UInt8]) -> TLSProgress,
    export: @escaping @Sendable (String, [UInt8], Int) -> [UInt8]?
  ) {
    self.advance = advance
    self.export = export
  }
}

public struct TLSProgress: Sendable {
  public enum State: Hashable, Sendable {
    case handshaking
    case finished(TLSPeer)
    /// The sentence says what was refused. The far side is told it instead of a TLS alert.
    case failed(String)
  }

  public var output: [UInt8]
  public var state: State

  public init(output: [UInt8], state: State) {
    self.output = output
    self.state = state
  }
}

/// What a finished handshake says of the far side.
public struct TLSPeer: Hashable, Sendable {
  /// The negotiated suite, for example `TLS_AES_256_GCM_SHA384`.
  public var cipher: String
  /// End of validity of the leaf certificates, seconds since 1970.
  public var localExpiry: Int64
  public var remoteExpiry: Int64

  public init(cipher: String, localExpiry: Int64, remoteExpiry: Int64) {
    self.cipher = cipher
    self.localExpiry = localExpiry
    self.remoteExpiry = remoteExpiry
  }
}

/// Makes engines. A failure (an unusable certificate, say) is a sentence.
public struct TLSProvider: Sendable {
  public var make: @Sendable (TLSRole, LinkID) -> Result<TLSEngine, TLSFailure>

  public init(make: @escaping @Sendable (TLSRole, LinkID) -> Result<TLSEngine, TLSFailure>) {
    self.make = make
  }
}

public struct TLSFailure: Error, Hashable, Sendable {
  public var reason: String

  public init(_ reason: String) {
    self.reason = reason
  }
}
