internal import NIOCore
internal import NIOSSL

/// TLS 1.3 for both ends with one leaf. Chains are checked by the authenticator alone, against the signed
/// state; no root of the system is trusted.
struct StreamTLS: Sendable {
  static let applicationProtocol = "starling/1"

  private let server: NIOSSLContext
  private let client: NIOSSLContext

  init(_ leaf: LeafIdentity) throws {
    let certificate = try NIOSSLCertificate(bytes: leaf.certificate, format: .der)
    let key = try NIOSSLPrivateKey(bytes: leaf.privateKey, format: .der)
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: [.certificate(certificate)], privateKey: .privateKey(key))
    Self.harden(&configuration)
    server = try NIOSSLContext(configuration: configuration)
    configuration = TLSConfiguration.makeClientConfiguration()
    configuration.certificateChain = [.certificate(certificate)]
    configuration.privateKey = .privateKey(key)
    Self.harden(&configuration)
    client = try NIOSSLContext(configuration: configuration)
  }

  private static func harden(_ configuration: inout TLSConfiguration) {
    configuration.minimumTLSVersion = .tlsv13
    configuration.applicationProtocols = [applicationProtocol]
    configuration.trustRoots = .certificates([])
    // Asks for a certificate; what is presented goes to the callback.
    configuration.certificateVerification = .noHostnameVerification
  }

  /// - Parameter verify: gets the chain (DER, leaf first) on the event loop; the handshake goes on when
  ///   its future succeeds.
  func handler(
    _ direction: StreamDirection,
    verify: @escaping ([[UInt8]], EventLoopPromise<NIOSSLVerificationResult>) -> Void
  ) throws -> any ChannelHandler {
    let callback: NIOSSLCustomVerificationCallback = { certificates, promise in
      do { verify(try certificates.map { try $0.toDERBytes() }, promise) } catch {
        promise.succeed(.failed)
      }
    }
    switch direction {
    case .inbound:
      return NIOSSLServerHandler(context: server, customVerificationCallback: callback)
    case .outbound:
      return try NIOSSLClientHandler(
        context: client, serverHostname: nil, customVerificationCallback: callback)
    }
  }
}
