import Base
import Replication
import Runtime
import Wire

/// One command's work with a peer: the unlocked key, the grants, the registers, the push.
struct AdminSession {
  let client: PeerClient
  let key: SigningKey
  let grants: APIGrants
  let state: RemoteState

  init(peer: PeerOptions, client: PeerClient) async throws {
    self.client = client
    grants = try await client.get("/v1/grants")
    state = try await RemoteState.read(from: client)
    key = try peer.context().unlockKey()
  }

  func grant(to what: String, where sufficient: ([Capability]) -> Bool) throws -> Digest {
    try GrantChoice.grant(for: key.publicKey, in: grants, to: what, where: sufficient)
  }

  /// The grant for writing a slice's sections.
  func grant(slice name: String) throws -> Digest {
    try grant(to: "change the slice \(name)") { capabilities in
      capabilities.contains { capability in
        guard case .slice(let glob) = capability else { return false }
        return glob.hasSuffix("*") ? name.hasPrefix(glob.dropLast()) : glob == name
      }
    }
  }

  func builder(under grant: Digest) -> ChangesetBuilder {
    ChangesetBuilder(clusterSet: state.clusterSet, under: grant, key: key, after: state.time)
  }

  /// Pushes one changeset and throws unless it was taken.
  @discardableResult
  func push(_ changeset: Changeset) async throws -> APIPushResult {
    try await Self.push(ChangesetCodec.encode(changeset), to: client)
  }

  @discardableResult
  static func push(_ bytes: [UInt8], to client: PeerClient) async throws -> APIPushResult {
    guard let result = try await client.push(bytes).results.first else {
      throw AdminError(.failed, "the peer took the push and said nothing of it")
    }
    switch result.outcome {
    case .accepted, .duplicate: return result
    case .pending, .held:
      Terminal.error("starling: \(result.reason) \(result.fix)")
      return result
    case .refused:
      throw AdminError(.failed, "refused: \(result.reason)", fix: result.fix)
    }
  }
}
