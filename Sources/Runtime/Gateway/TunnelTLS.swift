internal import COpenSSL
internal import Synchronization
internal import Tunnel

/// TLS 1.3 with both certificates over memory: the engine behind one handshake of a tunnel.
final class TunnelTLS: Sendable {
  private struct State {
    var session: OpaquePointer
    var context: OpaquePointer
    /// Bytes of the far side, and bytes for it: owned by the session.
    var input: OpaquePointer
    var output: OpaquePointer
    /// The expected SPIFFE URI; OpenSSL keeps the pointer.
    var expected: UnsafeMutablePointer<CChar>
    var localExpiry: Int64
    var finished = false
  }

  private let state: Mutex<State>
  private let remote: String

  /// The far side has to show a leaf with exactly this URI that chains to this CA.
  init(
    role: TLSRole, identity: TunnelIdentity, certificateAuthority: [UInt8], spiffeURI: String
  ) throws(TLSFailure) {
    guard let context = starling_tls_context() else {
      throw TLSFailure("OpenSSL has no TLS 1.3 with X25519 and AES-256-GCM")
    }
    var owned: OpaquePointer? = context
    defer { SSL_CTX_free(owned) }
    let localExpiry = try Self.load(identity, into: context)
    try Self.trust(certificateAuthority, context)
    guard let expected = strdup(spiffeURI) else { throw TLSFailure("out of memory") }
    starling_require_identity(context, expected)
    guard let session = SSL_new(context), let input = BIO_new(BIO_s_mem()),
      let output = BIO_new(BIO_s_mem())
    else {
      free(expected)
      throw TLSFailure("out of memory")
    }
    SSL_set_bio(session, input, output)
    if role == .client { SSL_set_connect_state(session) } else { SSL_set_accept_state(session) }
    owned = nil
    remote = spiffeURI
    state = Mutex(
      State(
        session: session, context: context, input: input, output: output, expected: expected,
        localExpiry: localExpiry))
  }

  deinit {
    state.withLock {
      SSL_free($0.session)
      SSL_CTX_free($0.context)
      free($0.expected)
    }
  }

  var engine: TLSEngine {
    TLSEngine(
      advance: { bytes in self.advance(bytes) },
      export: { label, context, count in self.export(label, context, count) })
  }

  // MARK: Certificates

  /// Gives the end of the leaf's validity.
  private static func load(
    _ identity: TunnelIdentity, into context: OpaquePointer
  ) throws(TLSFailure) -> Int64 {
    guard let certificate = parseCertificate(identity.certificate) else {
      throw TLSFailure("our certificate is neither X.509 DER nor PEM")
    }
    defer { X509_free(certificate) }
    guard let key = parseKey(identity.privateKey) else {
      throw TLSFailure("our private key cannot be read")
    }
    defer { EVP_PKEY_free(key) }
    guard SSL_CTX_use_certificate(context, certificate) == 1,
      SSL_CTX_use_PrivateKey(context, key) == 1, SSL_CTX_check_private_key(context) == 1
    else { throw TLSFailure("our certificate and our key do not belong together") }
    return expiry(certificate)
  }

  private static func trust(
    _ authority: [UInt8], _ context: OpaquePointer
  ) throws(TLSFailure) {
    guard let certificate = parseCertificate(authority) else {
      throw TLSFailure("the CA in the far side's signed record is no X.509 certificate")
    }
    defer { X509_free(certificate) }
    guard X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate) == 1 else {
      throw TLSFailure("the CA in the far side's signed record cannot be used")
    }
  }

  private static let armour = Array("-----".utf8)

  private static func parseCertificate(_ bytes: [UInt8]) -> OpaquePointer? {
    defer { ERR_clear_error() }
    if bytes.starts(with: armour) {
      guard let memory = BIO_new_mem_buf(bytes, Int32(bytes.count)) else { return nil }
      defer { BIO_free(memory) }
      return PEM_read_bio_X509(memory, nil, nil, nil)
    }
    return bytes.withUnsafeBufferPointer { buffer in
      var start = buffer.baseAddress
      return d2i_X509(nil, &start, buffer.count)
    }
  }

  private static func parseKey(_ bytes: [UInt8]) -> OpaquePointer? {
    defer { ERR_clear_error() }
    if bytes.starts(with: armour) {
      guard let memory = BIO_new_mem_buf(bytes, Int32(bytes.count)) else { return nil }
      defer { BIO_free(memory) }
      return PEM_read_bio_PrivateKey(memory, nil, nil, nil)
    }
    return bytes.withUnsafeBufferPointer { buffer in
      var start = buffer.baseAddress
      return d2i_AutoPrivateKey(nil, &start, buffer.count)
    }
  }

  /// End of validity, seconds since 1970; 0 where it cannot be told.
  static func expiry(_ certificate: OpaquePointer) -> Int64 {
    guard let epoch = ASN1_TIME_set(nil, 0) else { return 0 }
    defer { ASN1_TIME_free(epoch) }
    var (days, seconds): (Int32, Int32) = (0, 0)
    guard ASN1_TIME_diff(&days, &seconds, epoch, X509_get0_notAfter(certificate)) == 1 else {
      return 0
    }
    return Int64(days) * 86_400 + Int64(seconds)
  }

  /// End of validity of an identity's leaf, seconds since 1970.
  static func expiry(of identity: TunnelIdentity) -> Int64? {
    guard let certificate = parseCertificate(identity.certificate) else { return nil }
    defer { X509_free(certificate) }
    return expiry(certificate)
  }

  // MARK: Handshake

  private func advance(_ bytes: [UInt8]) -> TLSProgress {
    state.withLock { state in
      // OpenSSL's errors are kept by thread: what another call left there is not ours.
      ERR_clear_error()
      if !bytes.isEmpty {
        guard BIO_write(state.input, bytes, Int32(bytes.count)) == Int32(bytes.count) else {
          return TLSProgress(output: [], state: .failed("out of memory"))
        }
      }
      let result = state.finished ? readBehindHandshake(state) : SSL_do_handshake(state.session)
      let reason = result == 1 ? SSL_ERROR_NONE : SSL_get_error(state.session, result)
      let output = drain(state.output)
      switch reason {
      case SSL_ERROR_NONE:
        state.finished = true
        return TLSProgress(output: output, state: .finished(peer(state)))
      case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE:
        return TLSProgress(output: output, state: .handshaking)
      default:
        return TLSProgress(output: output, state: .failed(failure(state)))
      }
    }
  }

  /// Nothing may follow the handshake but an alert, which fails it.
  private func readBehindHandshake(_ state: State) -> Int32 {
    var byte: UInt8 = 0
    let result = SSL_read(state.session, &byte, 1)
    return result == 1 ? 0 : result
  }

  private func drain(_ memory: OpaquePointer) -> [UInt8] {
    let count = BIO_ctrl_pending(memory)
    guard count > 0 else { return [] }
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      initialized = max(0, Int(BIO_read(memory, buffer.baseAddress, Int32(count))))
    }
  }

  private func peer(_ state: State) -> TLSPeer {
    let certificate = SSL_get1_peer_certificate(state.session)
    defer { X509_free(certificate) }
    let cipher = SSL_CIPHER_get_name(SSL_get_current_cipher(state.session))
    return TLSPeer(
      cipher: cipher.map { String(cString: $0) } ?? "", localExpiry: state.localExpiry,
      remoteExpiry: certificate.map { Self.expiry($0) } ?? 0)
  }

  private func failure(_ state: State) -> String {
    let result = SSL_get_verify_result(state.session)
    guard result != X509_V_OK else { return "TLS failed: \(TunnelOpenSSL.lastError())" }
    ERR_clear_error()
    if result == X509_V_ERR_APPLICATION_VERIFICATION {
      return "the certificate does not name \(remote)"
    }
    let text = X509_verify_cert_error_string(Int(result)).map { String(cString: $0) } ?? ""
    return "the certificate of \(remote) was refused: \(text)"
  }

  private func export(_ label: String, _ context: [UInt8], _ count: Int) -> [UInt8]? {
    state.withLock { state in
      guard state.finished else { return nil }
      var out = [UInt8](repeating: 0, count: count)
      let result = SSL_export_keying_material(
        state.session, &out, count, label, label.utf8.count, context, context.count, 1)
      return result == 1 ? out : nil
    }
  }
}
