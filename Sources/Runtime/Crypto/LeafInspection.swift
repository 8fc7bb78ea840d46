internal import Base
internal import Crypto
internal import FoundationEssentials
internal import SwiftASN1
internal import X509

/// What a leaf that was kept somewhere says of itself.
struct LeafInspection: Hashable, Sendable {
  /// Milliseconds since 1970.
  var issuedMilliseconds: UInt64
  var expiresMilliseconds: UInt64

  /// `nil` unless it is this identity's, issued by this CA (X.509 DER), and the key is its own.
  init?(_ leaf: TunnelIdentity, of identity: SPIFFEIdentity, authority: [UInt8]) {
    guard leaf.certificate.count <= ChainVerifier.maximumCertificateBytes,
      let certificate = try? Certificate(derEncoded: leaf.certificate),
      let root = try? Certificate(derEncoded: authority),
      certificate.issuer == root.subject,
      root.publicKey.isValidSignature(certificate.signature, for: certificate),
      ChainVerifier.identity(of: certificate) == identity,
      let key = try? P256.Signing.PrivateKey(derRepresentation: leaf.privateKey),
      certificate.publicKey == Certificate.PublicKey(key.publicKey)
    else { return nil }
    let begins = certificate.notValidBefore.timeIntervalSince1970 + ClusterCA.clockTolerance
    let ends = certificate.notValidAfter.timeIntervalSince1970
    guard begins >= 0, ends > begins, ends < 1e12 else { return nil }
    issuedMilliseconds = UInt64(begins * 1000)
    expiresMilliseconds = UInt64(ends * 1000)
  }
}
