public import Base
internal import Crypto
internal import FoundationEssentials
internal import SwiftASN1
internal import X509

/// The certificate authority of one cluster: a P-256 key that never leaves its data directory. Its
/// certificate stands in the cluster's signed record, where everyone finds it; there is no other CA.
public struct ClusterCA: Sendable {
  /// X.509 DER, self-signed, valid for ten years.
  public let certificate: [UInt8]
  private let issuer: Certificate
  private let key: P256.Signing.PrivateKey

  /// How long leaves live unless said otherwise; they are renewed at half of it.
  public static let leafLifetime: Duration = .seconds(24 * 3_600)
  /// Leaves count from a little earlier, so that clocks may differ.
  static let clockTolerance = 3_600.0

  /// Makes a new CA.
  public init(cluster: String, clusterSet: Base.Digest, now: Now) throws(ClusterCAError) {
    let key = P256.Signing.PrivateKey()
    do {
      let name = try DistinguishedName {
        OrganizationName("Starling \(clusterSet.short)")
        CommonName("\(cluster.prefix(48)) cluster CA")
      }
      let start = Date(timeIntervalSince1970: Double(now.wallMilliseconds) / 1_000)
      let identifier = ArraySlice(
        Sodium.sha256(Array(key.publicKey.derRepresentation)).bytes[..<20])
      let certificate = try Certificate(
        version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(key.publicKey),
        notValidBefore: start - Self.clockTolerance,
        notValidAfter: start + 10 * 365.25 * 86_400, issuer: name, subject: name,
        signatureAlgorithm: .ecdsaWithSHA256,
        extensions: Certificate.Extensions {
          Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
          Critical(KeyUsage(keyCertSign: true, cRLSign: true))
          SubjectKeyIdentifier(keyIdentifier: identifier)
        }, issuerPrivateKey: .init(key))
      try self.init(certificate, key)
    } catch {
      throw .unusable("cannot make the cluster's CA: \(error)")
    }
  }

  private init(_ issuer: Certificate, _ key: P256.Signing.PrivateKey) throws {
    self.issuer = issuer
    self.key = key
    certificate = try der(issuer)
  }

  /// A leaf for both ends of TLS, with a key of its own.
  public func issue(
    _ identity: SPIFFEIdentity, for lifetime: Duration = leafLifetime, now: Now
  ) throws(ClusterCAError) -> LeafIdentity {
    let leafKey = P256.Signing.PrivateKey()
    let start = Date(timeIntervalSince1970: Double(now.wallMilliseconds) / 1_000)
    let end = start + Double(lifetime.nanoseconds) / 1e9
    do {
      let subject = try DistinguishedName {
        CommonName(commonName(identity))
      }
      let leaf = try Certificate(
        version: .v3, serialNumber: Certificate.SerialNumber(),
        publicKey: .init(leafKey.publicKey), notValidBefore: start - Self.clockTolerance,
        notValidAfter: end, issuer: issuer.subject, subject: subject,
        signatureAlgorithm: .ecdsaWithSHA256,
        extensions: Certificate.Extensions {
          Critical(BasicConstraints.notCertificateAuthority)
          Critical(KeyUsage(digitalSignature: true))
          try ExtendedKeyUsage([.clientAuth, .serverAuth])
          SubjectAlternativeNames([.uniformResourceIdentifier(identity.uri)])
        }, issuerPrivateKey: .init(key))
      return LeafIdentity(
        identity: identity, certificate: try der(leaf),
        privateKey: Array(leafKey.derRepresentation),
        notAfterMilliseconds: UInt64(max(0, end.timeIntervalSince1970 * 1_000)))
    } catch {
      throw .unusable("cannot issue a certificate for \(identity): \(error)")
    }
  }

  private func commonName(_ identity: SPIFFEIdentity) -> String {
    switch identity.role {
    case .peer(let id): "\(identity.cluster.prefix(40)) peer \(id.short)"
    case .gateway(let slice, _): "\(identity.cluster.prefix(28)) gateway \(slice.prefix(24))"
    }
  }
}

/// A leaf certificate with its private key.
public struct LeafIdentity: Hashable, Sendable {
  public var identity: SPIFFEIdentity
  /// X.509 DER.
  public var certificate: [UInt8]
  /// PKCS #8 DER.
  public var privateKey: [UInt8]
  public var notAfterMilliseconds: UInt64
}

/// Why a cluster's CA cannot be used, as a sentence.
public enum ClusterCAError: Error, Hashable, Sendable, CustomStringConvertible {
  case unusable(String)

  public var description: String {
    switch self {
    case .unusable(let reason): reason
    }
  }
}

func der(_ certificate: Certificate) throws -> [UInt8] {
  var serializer = DER.Serializer()
  try serializer.serialize(certificate)
  return serializer.serializedBytes
}

// MARK: - On disk

extension ClusterCA {
  /// Reads the CA of a data directory, or makes it there at the first start (`ca.pem`, mode 0600).
  public static func openOrCreate(
    directory: String, cluster: String, clusterSet: Base.Digest, now: Now
  ) throws(ClusterCAError) -> ClusterCA {
    let path = "\(directory)/ca.pem"
    let content: PrivateFile.Content
    do throws(FileError) {
      content = try PrivateFile.read(path, limit: 16_384)
    } catch {
      guard error.isMissing else {
        throw .unusable("\(path): cannot read the CA: \(error.reason)")
      }
      let made = try ClusterCA(cluster: cluster, clusterSet: clusterSet, now: now)
      try made.write(to: path)
      return made
    }
    guard !content.isExposed else {
      throw .unusable(
        "\(path): others may read the CA's key (mode 0\(String(content.mode, radix: 8))); "
          + "run: chmod 600 \(path)")
    }
    return try ClusterCA(pem: String(decoding: content.bytes, as: UTF8.self), path: path)
  }

  /// - Parameter path: where it was found, for errors.
  init(pem: String, path: String) throws(ClusterCAError) {
    do {
      let documents = try PEMDocument.parseMultiple(pemString: pem)
      guard documents.count == 2 else { throw ClusterCAError.unusable("it has not two parts") }
      let issuer = try Certificate(pemDocument: documents[0])
      let key = try P256.Signing.PrivateKey(pemRepresentation: documents[1].pemString)
      guard issuer.publicKey == Certificate.PublicKey(key.publicKey) else {
        throw ClusterCAError.unusable("the key is not that of the certificate")
      }
      try self.init(issuer, key)
    } catch {
      throw .unusable("\(path): this is not a cluster CA: \(error)")
    }
  }

  private func write(to path: String) throws(ClusterCAError) {
    let text: String
    do {
      text = try issuer.serializeAsPEM().pemString + "\n" + key.pemRepresentation + "\n"
    } catch {
      throw .unusable("\(path): cannot encode the CA: \(error)")
    }
    do throws(FileError) {
      try PrivateFile.write(Array(text.utf8), to: path)
    } catch {
      throw .unusable("\(path): cannot write the CA: \(error.reason)")
    }
  }
}
