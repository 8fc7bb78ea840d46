import Base
import Replication
import Slices
import Wire

@testable import Runtime

/// A ClusterSet with one root key, and a state of it as a peer would hold it.
struct AdminWorld {
  let key = SigningKey()
  let genesis: Genesis
  var state: ReplicatedState
  static let start: UInt64 = 1_800_000_000_000

  init(otherRoots: [PublicKey] = [], threshold: Int = 1) throws {
    genesis = try ClusterSetMaker.make(
      name: "prod", keys: [key.publicKey] + otherRoots, threshold: threshold,
      nowMilliseconds: Self.start)
    state = ReplicatedState(genesis: genesis, crypto: .sodium)
  }

  mutating func ingest(_ changeset: Changeset, at milliseconds: UInt64 = start) -> IngestOutcome {
    var changes = StateChanges()
    let now = Now(instant: .zero, wallMilliseconds: milliseconds)
    return state.ingest(changeset, now: now, changes: &changes)
  }

  /// As `GET /v1/registers` answers it.
  func registers() -> APIRegisters {
    APIRegisters(
      clusterSet: genesis.id, hlc: HybridTime(milliseconds: Self.start),
      registers: state.registers().map { register in
        APIRegister(
          path: register.path, scope: register.scope,
          values: register.values.map { value in
            APIRegisterValue(
              value: value.value, author: value.author, counter: value.counter,
              context: value.context, hlc: value.time, changeset: value.changeset,
              under: value.under)
          }, context: register.context)
      })
  }

  var snapshot: RegisterSnapshot { RegisterSnapshot(registers()) }

  func builder(
    _ signer: Signer? = nil, under: Base.Digest? = nil, at milliseconds: UInt64 = start
  ) throws -> ChangesetBuilder {
    try ChangesetBuilder(
      clusterSet: genesis.id, under: under ?? genesis.id, signer: signer ?? key.signer,
      snapshot: snapshot, nowMilliseconds: milliseconds)
  }

  /// Writes one register under the root.
  mutating func write(_ path: String, _ value: Value?) throws -> Changeset {
    var builder = try builder()
    let made = try builder.changeset(
      writes: [RegisterWrite(path: path, value: value)], after: snapshot)
    guard ingest(made) == .accepted else { throw AdminError(.failed, "\(ingest(made))") }
    return made
  }
}

func manifest(_ text: String) throws -> [ManifestFile] {
  try ManifestFile.parse(text, file: "blue.yaml")
}

let blue = """
  apiVersion: starling.dev/v1alpha1
  kind: Slice
  metadata: {name: blue}
  spec:
    cidr: 10.11.0.0/16
    members:
      - cluster: eu-1
        namespaces: [shop]
  """
