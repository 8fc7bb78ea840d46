import Base
import Replication
import Slices
import Testing
import Wire

@testable import Runtime

@Suite struct ChangesetBuilderTests {
  @Test func firstWriteOfARegister() throws {
    var world = try AdminWorld()
    let made = try world.write("cluster/eu-1", ["labels": [:]])
    #expect(made.writes[0].counter == 1)
    #expect(made.writes[0].context == VersionVector())
    #expect(made.under == world.genesis.id)
    #expect(SignedChangesetFile.isSigned(made))
    #expect(world.state.value("cluster/eu-1") == ["labels": [:]])
  }

  @Test func nextWriteFollowsWhatWasSeen() throws {
    var world = try AdminWorld()
    _ = try world.write("slice/blue", ["cidr": "10.11.0.0/16"])
    let second = try world.write("slice/blue", ["cidr": "10.12.0.0/16"])
    #expect(second.writes[0].counter == 2)
    #expect(second.writes[0].context[world.key.publicKey] == 1)
    #expect(world.state.register("slice/blue")?.isConflict == false)
  }

  @Test func coversAConflict() throws {
    var world = try AdminWorld()
    let stale = world.snapshot
    _ = try world.write("slice/blue", ["cidr": "10.11.0.0/16"])
    // A second admin who saw nothing of it.
    let ana = SigningKey()
    var builder = try world.builder()
    let grant = try builder.changeset(
      grant: Grant(subject: ana.publicKey, capabilities: [.slice("*")]), after: world.snapshot)
    #expect(world.ingest(grant) == .accepted)
    var other = try ChangesetBuilder(
      clusterSet: world.genesis.id, under: grant.id, signer: ana.signer, snapshot: stale,
      nowMilliseconds: AdminWorld.start + 1)
    let rival = try other.changeset(
      writes: [RegisterWrite(path: "slice/blue", value: ["cidr": "10.12.0.0/16"])], after: stale)
    #expect(world.ingest(rival) == .accepted)
    #expect(world.state.register("slice/blue")?.isConflict == true)
    let third = try world.write("slice/blue", ["cidr": "10.13.0.0/16"])
    #expect(third.writes[0].context[ana.publicKey] == 1)
    #expect(third.writes[0].counter == 2)
    #expect(world.state.register("slice/blue")?.isConflict == false)
  }

  @Test func deletionIsCoveredToo() throws {
    var world = try AdminWorld()
    _ = try world.write("slice/blue", ["cidr": "10.11.0.0/16"])
    _ = try world.write("slice/blue", nil)
    let again = try world.write("slice/blue", ["cidr": "10.11.0.0/16"])
    #expect(again.writes[0].counter == 3)
  }

  @Test func readingsRise() throws {
    let world = try AdminWorld()
    // The local clock is an hour behind what the peer saw.
    let seen = HybridTime(milliseconds: AdminWorld.start)
    var builder = try world.builder(at: AdminWorld.start - 5_000)
    let made = try builder.changesets(
      writes: [RegisterWrite(path: "slice/blue", value: [:])], after: world.snapshot)
    #expect(made[0].time > seen)
  }

  @Test func clockFarBehindIsRefused() throws {
    let world = try AdminWorld()
    #expect(throws: AdminError.self) { try world.builder(at: AdminWorld.start - 60_000) }
  }

  @Test func anotherClusterSetIsRefused() throws {
    let (world, other) = (try AdminWorld(), try AdminWorld())
    #expect(throws: AdminError.self) {
      try ChangesetBuilder(
        clusterSet: other.genesis.id, under: other.genesis.id, signer: world.key.signer,
        snapshot: world.snapshot, nowMilliseconds: AdminWorld.start)
    }
  }

  @Test func cutsWhatIsTooLarge() throws {
    var world = try AdminWorld()
    let text = String(repeating: "x", count: 1000)
    let writes = (0..<300).map {
      RegisterWrite(path: "slice/blue/member/c\($0)", value: ["note": .string(text)])
    }
    var builder = try world.builder()
    let made = try builder.changesets(writes: writes, after: world.snapshot)
    #expect(made.count > 2)
    #expect(made.flatMap(\.writes).map(\.path) == writes.map(\.path))
    for changeset in made {
      #expect(ChangesetCodec.encode(changeset).count <= Changeset.maximumBytes)
      #expect(world.ingest(changeset, at: AdminWorld.start) == .accepted)
    }
    #expect(zip(made, made.dropFirst()).allSatisfy { $0.time < $1.time })
  }

  @Test func outboxIsBuiltUpon() throws {
    var world = try AdminWorld()
    var snapshot = RegisterSnapshot()
    var builder = try world.builder()
    let write = [RegisterWrite(path: "cluster/eu-1", value: ["labels": ["a": "1"]])]
    let first = try builder.changeset(writes: write, after: snapshot)
    snapshot.include(first)
    let second = try builder.changeset(
      writes: [RegisterWrite(path: "cluster/eu-1", value: ["labels": ["a": "2"]])], after: snapshot)
    #expect(second.writes[0].counter == 2)
    #expect(world.ingest(first) == .accepted)
    #expect(world.ingest(second) == .accepted)
    #expect(world.state.register("cluster/eu-1")?.isConflict == false)
    // What the peer has already changes nothing.
    var known = world.snapshot
    known.include(first)
    #expect(known.table.value("cluster/eu-1") == ["labels": ["a": "2"]])
  }

  @Test func longMessagesAreCut() {
    let text = String(repeating: "ü", count: 2000)
    #expect(ChangesetBuilder.bounded(text).utf8.count <= StateLimits.messageBytes)
    #expect(ChangesetBuilder.bounded("short") == "short")
  }
}
