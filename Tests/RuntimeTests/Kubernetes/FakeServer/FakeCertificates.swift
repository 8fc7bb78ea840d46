import Crypto
import Foundation
import SwiftASN1
import X509

/// A CA of its own with a server's and a client's certificate, in PEM.
struct FakeCertificates: Sendable {
  let authorityPEM: String
  let certificatePEM: String
  let keyPEM: String
  let clientCertificatePEM: String
  let clientKeyPEM: String

  /// - Parameter address: the server's, in its certificate; another makes it a stranger's.
  init(address: [UInt8] = [127, 0, 0, 1], name: String = "kubernetes.default.svc") throws {
    let authorityKey = P256.Signing.PrivateKey()
    let issuer = try DistinguishedName { CommonName("fake CA") }
    let authority = try Certificate(
      version: .v3, serialNumber: Certificate.SerialNumber(),
      publicKey: .init(authorityKey.publicKey), notValidBefore: Date() - 3600,
      notValidAfter: Date() + 86_400, issuer: issuer, subject: issuer,
      signatureAlgorithm: .ecdsaWithSHA256,
      extensions: Certificate.Extensions {
        Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
        Critical(KeyUsage(keyCertSign: true))
      }, issuerPrivateKey: .init(authorityKey))

    func leaf(_ subject: String, _ names: [GeneralName]) throws -> (String, String) {
      let key = P256.Signing.PrivateKey()
      let certificate = try Certificate(
        version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(key.publicKey),
        notValidBefore: Date() - 3600, notValidAfter: Date() + 86_400, issuer: issuer,
        subject: try DistinguishedName { CommonName(subject) },
        signatureAlgorithm: .ecdsaWithSHA256,
        extensions: Certificate.Extensions {
          Critical(BasicConstraints.notCertificateAuthority)
          SubjectAlternativeNames(names)
        }, issuerPrivateKey: .init(authorityKey))
      return (try certificate.serializeAsPEM().pemString, key.pemRepresentation)
    }
    authorityPEM = try authority.serializeAsPEM().pemString
    (certificatePEM, keyPEM) = try leaf(
      "server", [.ipAddress(ASN1OctetString(contentBytes: address[...])), .dnsName(name)])
    (clientCertificatePEM, clientKeyPEM) = try leaf("client", [.dnsName("client")])
  }
}
