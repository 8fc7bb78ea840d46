internal import SwiftASN1
internal import X509

/// Checks certificate chains against one cluster's CA and reads who they are for.
public enum ChainVerifier {
  public static let maximumCertificates = 4
  public static let maximumCertificateBytes = 8_192

  /// What a leaf says of itself, unverified: it tells whose CA to check it against.
  public static func claimedIdentity(_ chain: [[UInt8]]) -> SPIFFEIdentity? {
    guard let leaf = try? parse(chain).first else { return nil }
    return identity(of: leaf)
  }

  /// The identity of the leaf (the first certificate), if the chain ends in `authority` and is valid
  /// at this time, the leaf is one for both ends of TLS, and its one name is a SPIFFE URI of ours.
  ///
  /// - Parameter chain: X.509 DER as presented: nothing in it is trusted.
  /// - Parameter authority: X.509 DER of the CA, from the signed state.
  public static func verify(
    _ chain: [[UInt8]], authority: [UInt8]
  ) async throws(ChainError) -> SPIFFEIdentity {
    let presented = try parse(chain)
    guard authority.count <= maximumCertificateBytes,
      let root = try? Certificate(derEncoded: authority)
    else { throw .badAuthority }
    guard let leaf = presented.first else { throw .malformed }
    var verifier = Verifier(rootCertificates: CertificateStore([root])) {
      RFC5280Policy()
      LeafPolicy()
    }
    let result = await verifier.validate(
      leaf: leaf, intermediates: CertificateStore(presented.dropFirst()))
    switch result {
    case .validCertificate:
      guard let identity = identity(of: leaf) else { throw .noIdentity }
      return identity
    case .couldNotValidate(let failures):
      throw .refused(
        failures.first.map { "\($0.policyFailureReason)" }
          ?? "it was not issued by the cluster's CA")
    }
  }

  private static func parse(_ chain: [[UInt8]]) throws(ChainError) -> [Certificate] {
    guard (1...maximumCertificates).contains(chain.count),
      chain.allSatisfy({ $0.count <= maximumCertificateBytes })
    else { throw .malformed }
    do { return try chain.map { try Certificate(derEncoded: $0) } } catch { throw .malformed }
  }

  static func identity(of leaf: Certificate) -> SPIFFEIdentity? {
    guard let names = try? leaf.extensions.subjectAlternativeNames, names.count == 1,
      case .uniformResourceIdentifier(let uri) = names[names.startIndex]
    else { return nil }
    return SPIFFEIdentity(uri: uri)
  }
}

/// What RFC 5280's checks leave open: that the leaf is one of ours.
private struct LeafPolicy: VerifierPolicy {
  let verifyingCriticalExtensions: [ASN1ObjectIdentifier] = [
    .X509ExtensionID.subjectAlternativeName, .X509ExtensionID.extendedKeyUsage,
  ]

  func chainMeetsPolicyRequirements(
    chain: UnverifiedCertificateChain
  ) async -> PolicyEvaluationResult {
    let leaf = chain.leaf
    guard chain.count >= 2 else {
      return .failsToMeetPolicy(reason: "the CA itself is no leaf")
    }
    if let constraints = try? leaf.extensions.basicConstraints,
      case .isCertificateAuthority = constraints
    {
      return .failsToMeetPolicy(reason: "the leaf is a CA")
    }
    guard let usage = try? leaf.extensions.extendedKeyUsage, usage.contains(.clientAuth),
      usage.contains(.serverAuth)
    else {
      return .failsToMeetPolicy(reason: "the leaf is not for both ends of TLS")
    }
    guard ChainVerifier.identity(of: leaf) != nil else {
      return .failsToMeetPolicy(reason: "the leaf has no identity of a Starling cluster")
    }
    return .meetsPolicy
  }
}

public enum ChainError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Too many, too long, or no X.509.
  case malformed
  /// The CA of the signed state is no certificate.
  case badAuthority
  case noIdentity
  case refused(String)

  public var description: String {
    switch self {
    case .malformed: "the certificates are malformed"
    case .badAuthority: "the cluster's CA in the signed state is no certificate"
    case .noIdentity: "the certificate has no identity of a Starling cluster"
    case .refused(let reason): "the certificate is refused: \(reason)"
    }
  }
}
