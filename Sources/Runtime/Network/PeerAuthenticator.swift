public import Base

public enum PeerAuthenticator {
  /// Takes a certificate for a peer if its URI names one that the signed state admits, and it is valid
  /// under that cluster's CA.
  ///
  /// - Parameter authority: the CA (X.509 DER) of that cluster; `nil` unless the state admits that peer
  ///   for it now. May be called on any thread.
  public static func make(
    clusterSet: Digest, authority: @escaping @Sendable (_ cluster: String, NodeID) -> [UInt8]?
  ) -> StreamAuthenticator {
    { chain in
      guard let claim = ChainVerifier.claimedIdentity(chain), claim.clusterSet == clusterSet,
        case .peer(let node) = claim.role, let authority = authority(claim.cluster, node)
      else { return .unadmitted }
      do throws(ChainError) {
        let proved = try await ChainVerifier.verify(chain, authority: authority)
        return proved == claim ? .peer(node, cluster: claim.cluster) : .unadmitted
      } catch {
        return .unadmitted
      }
    }
  }
}
