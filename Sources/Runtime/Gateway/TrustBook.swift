internal import Synchronization
internal import Tunnel

/// Our leaf for each slice and what each far side has to show: where TLS engines come from.
final class TrustBook: Sendable {
  private struct Expectation {
    var certificateAuthority: [UInt8]
    var spiffeURI: String
  }

  private struct State {
    var identities: [String: TunnelIdentity] = [:]
    var expectations: [LinkID: Expectation] = [:]
  }

  private let state = Mutex(State())

  /// Takes a plan; gives the slices whose leaf changed, in order.
  func update(_ plan: GatewayPlan) -> [String] {
    state.withLock { state in
      let before = state.identities
      state.identities = Dictionary(
        plan.slices.map { ($0.slice, $0.identity) }, uniquingKeysWith: { first, _ in first })
      state.expectations = Dictionary(
        plan.peers.map {
          (
            $0.link,
            Expectation(certificateAuthority: $0.certificateAuthority, spiffeURI: $0.spiffeURI)
          )
        }, uniquingKeysWith: { first, _ in first })
      return state.identities.keys.sorted().filter { slice in
        before[slice].map { $0 != state.identities[slice] } ?? false
      }
    }
  }

  /// False where the slice is unknown or the leaf is the one in use.
  func rotate(_ slice: String, _ identity: TunnelIdentity) -> Bool {
    state.withLock { state in
      guard let current = state.identities[slice], current != identity else { return false }
      state.identities[slice] = identity
      return true
    }
  }

  func localExpiry(_ slice: String) -> Int64? {
    state.withLock { $0.identities[slice] }.flatMap { TunnelTLS.expiry(of: $0) }
  }

  func engine(_ role: TLSRole, _ link: LinkID) -> Result<TLSEngine, TLSFailure> {
    let (identity, expectation) = state.withLock {
      ($0.identities[link.slice], $0.expectations[link])
    }
    guard let identity, let expectation else {
      return .failure(TLSFailure("the tunnel is no longer part of the plan"))
    }
    do throws(TLSFailure) {
      let tls = try TunnelTLS(
        role: role, identity: identity,
        certificateAuthority: expectation.certificateAuthority,
        spiffeURI: expectation.spiffeURI)
      return .success(tls.engine)
    } catch {
      return .failure(error)
    }
  }
}
