import Base

@testable import Replication

/// Hashes and signatures that cost next to nothing and tell everything apart that a test does not
/// forge on purpose.
enum Fake {
  static let crypto = Crypto(
    sha256: { digest($0) },
    verify: { signature, message, key in signature == sign(message, key) })

  static func sign(_ message: [UInt8], _ key: PublicKey) -> Signature {
    let half = digest(message + key.bytes).bytes
    guard let signature = Signature(half + half) else { fatalError("64 bytes") }
    return signature
  }

  static func digest(_ bytes: [UInt8]) -> Digest {
    // FNV-1a, spread over four words by the finalizer of SplitMix64.
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    func word(_ n: UInt64) -> UInt64 {
      var z = hash &+ n &* 0x9e37_79b9_7f4a_7c15
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return z ^ (z >> 31)
    }
    return Digest(words: (word(1), word(2), word(3), word(4)))
  }

  static func key(_ name: String) -> PublicKey {
    PublicKey(words: digest(Array(name.utf8)).words)
  }

  static func genesis(roots: [String] = ["root"], threshold: Int = 1) -> Genesis {
    Genesis(
      id: digest(Array("genesis".utf8)), bytes: [], name: "test",
      root: RootKeys(keys: roots.map(key).sorted(), threshold: threshold), zones: ["slice.local"],
      createdMilliseconds: 0)
  }

  static let now = Now(instant: .zero, wallMilliseconds: 1_000_000)
}

/// Makes signed changesets with little typing.
struct Author {
  var key: PublicKey
  var clusterSet: Digest

  init(_ name: String, in genesis: Genesis = Fake.genesis()) {
    key = Fake.key(name)
    clusterSet = genesis.id
  }

  /// - Parameter nonce: makes two that are otherwise alike different.
  func make(
    under: Digest, at milliseconds: UInt64, scope: Scope = .clusterset, nonce: UInt64 = 0,
    cosigners: [PublicKey] = [], _ fill: (inout Changeset) -> Void
  ) -> Changeset {
    make(
      under: under, time: HybridTime(milliseconds: milliseconds), scope: scope, nonce: nonce,
      cosigners: cosigners, fill)
  }

  func make(
    under: Digest, time: HybridTime, scope: Scope = .clusterset, nonce: UInt64 = 0,
    cosigners: [PublicKey] = [], _ fill: (inout Changeset) -> Void
  ) -> Changeset {
    var out = Changeset(
      id: .zero, body: [], endorsements: [], clusterSet: clusterSet, scope: scope, under: under,
      author: key, time: time)
    fill(&out)
    out.body = Self.body(out, nonce)
    out.id = Fake.crypto.sha256(out.signedBytes)
    out.endorsements = ([key] + cosigners).map {
      Endorsement(key: $0, signature: Fake.sign(out.signedBytes, $0))
    }
    return out
  }

  func grant(
    _ subject: PublicKey, _ capabilities: [Capability], under: Digest, at milliseconds: UInt64,
    notAfter: UInt64? = nil, depth: Int = 0, quota: Quota? = nil
  ) -> Changeset {
    make(under: under, at: milliseconds) {
      $0.grant = Grant(
        subject: subject, capabilities: capabilities.sorted(), notAfterMilliseconds: notAfter,
        delegationDepth: depth, quota: quota)
    }
  }

  func floor(
    _ grant: Digest, below milliseconds: UInt64?, keep: [Digest] = [], under: Digest,
    at time: UInt64, scope: Scope = .clusterset
  ) -> Changeset {
    make(under: under, at: time, scope: scope) {
      $0.floors = [
        Floor(
          grant: grant, time: milliseconds.map { HybridTime(milliseconds: $0) } ?? .max,
          keep: keep.sorted())
      ]
    }
  }

  /// A write that covers all that `state` shows.
  func write(
    _ path: String, _ value: Value?, in state: ReplicatedState, under: Digest,
    at milliseconds: UInt64, scope: Scope = .clusterset
  ) -> Changeset {
    make(under: under, at: milliseconds, scope: scope) { changeset in
      state.write(path, value, scope: scope, author: key).map { changeset.writes = [$0] }
    }
  }

  /// A write by one who has seen nothing.
  func blindWrite(
    _ path: String, _ value: Value?, under: Digest, at milliseconds: UInt64,
    scope: Scope = .clusterset
  ) -> Changeset {
    make(under: under, at: milliseconds, scope: scope) {
      $0.writes = [Write(path: path, value: value, counter: 1, context: VersionVector())]
    }
  }

  /// Bytes that tell two drafts apart; no codec's business here.
  private static func body(_ draft: Changeset, _ nonce: UInt64) -> [UInt8] {
    var writer = ByteWriter(reserving: 256)
    writer.u64(nonce)
    writer.u64(draft.time.rawValue)
    writer.bytes32(draft.under)
    writer.bytes32(draft.author)
    writer.raw(Array(draft.scope.description.utf8))
    for write in draft.writes {
      writer.raw(Array(write.path.utf8))
      writer.raw(Array("\(String(describing: write.value))".utf8))
      writer.u64(write.counter)
      for entry in write.context.entries {
        writer.bytes32(entry.author)
        writer.u64(entry.counter)
      }
    }
    if let grant = draft.grant { writer.raw(Array("\(grant)".utf8)) }
    if let grant = draft.grant { writer.bytes32(grant.subject) }
    for floor in draft.floors {
      writer.bytes32(floor.grant)
      writer.u64(floor.time.rawValue)
      for id in floor.keep { writer.bytes32(id) }
    }
    if let change = draft.rootChange {
      for key in change.root.keys { writer.bytes32(key) }
      writer.u64(UInt64(change.root.threshold))
      for id in change.keep { writer.bytes32(id) }
    }
    return writer.bytes
  }
}

/// A state together with what it said.
struct TestState {
  var state: ReplicatedState
  var changes = StateChanges()
  var now = Fake.now

  init(_ genesis: Genesis = Fake.genesis(), cluster: String? = nil, limits: StateLimits = .init()) {
    state = ReplicatedState(
      genesis: genesis, crypto: Fake.crypto, cluster: cluster, limits: limits)
  }

  @discardableResult
  mutating func take(_ changeset: Changeset) -> IngestOutcome {
    state.ingest(changeset, now: now, changes: &changes)
  }

  mutating func takeAll(_ changesets: [Changeset]) {
    for changeset in changesets { take(changeset) }
  }
}
