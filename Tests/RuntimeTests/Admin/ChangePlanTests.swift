import Base
import Replication
import Slices
import Testing

@testable import Runtime

@Suite struct ChangePlanTests {
  private func world() throws -> AdminWorld {
    var world = try AdminWorld()
    _ = try world.write("cluster/eu-1", [:])
    _ = try world.write("cluster/us-1", [:])
    return world
  }

  /// Plans, signs and applies; the plan.
  private func apply(_ text: String, to world: inout AdminWorld) throws -> ChangePlan {
    let plan = try ChangePlan(applying: try manifest(text), to: world.snapshot)
    var builder = try world.builder()
    for changeset in try builder.changesets(writes: plan.writes, after: world.snapshot) {
      #expect(world.ingest(changeset) == .accepted)
    }
    return plan
  }

  @Test func planText() throws {
    var world = try world()
    let plan = try apply(blue, to: &world)
    let text = plan.text(style: .plain)
    #expect(text.hasPrefix("slice blue: 2 created, 0 changed, 0 deleted  (base "))
    #expect(text.contains("+ slice/blue\n"))
    #expect(text.contains("+ cidr: 10.11.0.0/16\n"))
    #expect(plan.needs == [.hold(.slice("blue"))])
    let again = try apply(blue, to: &world)
    #expect(again.isEmpty)
    #expect(again.text(style: .plain).contains("slice blue: no change"))
    let report = PlanReport(plan)
    #expect(report.created == 2)
    #expect(report.slices == ["blue"])
  }

  @Test func baseMovesWithEveryWrite() throws {
    var world = try world()
    _ = try apply(blue, to: &world)
    let first = world.snapshot.base(ofSlice: "blue")
    let red = blue.replacing("blue", with: "red").replacing("10.11", with: "10.12")
      .replacing("shop", with: "pay")
    _ = try apply(red, to: &world)
    #expect(world.snapshot.base(ofSlice: "blue") == first)
    _ = try apply(blue + "\n  dns: {ttl: 4s}", to: &world)
    let second = world.snapshot.base(ofSlice: "blue")
    #expect(second != first)
    let plan = try ChangePlan(applying: try manifest(blue), to: world.snapshot)
    try plan.check(unchanged: ["blue": second.short])
    let error = #expect(throws: AdminError.self) {
      try plan.check(unchanged: ["blue": first.hex])
    }
    #expect(error?.status == .moved)
  }

  @Test func writtenManifestReadsBack() throws {
    var world = try world()
    _ = try apply(blue, to: &world)
    let known = try SliceWork.manifest("blue", world.snapshot)
    let base = world.snapshot.base(ofSlice: "blue").hex
    let files = try manifest(ManifestFile.text(known, base: base))
    #expect(files[0].manifest == known)
    #expect(files[0].base == base)
    #expect(try ChangePlan(applying: files, to: world.snapshot).isEmpty)
  }

  @Test func errorsHaveTheirLine() {
    let text = blue.replacing("cidr: 10.11.0.0/16", with: "cidr: 34.2.0.0/16\n  qos: {priority: x}")
    let error = #expect(throws: AdminError.self) { try manifest(text) }
    #expect(error?.status == .usage)
    let lines = error?.message.split(separator: "\n") ?? []
    #expect(lines.contains { $0.hasPrefix("blue.yaml:5: spec.cidr: ") })
    #expect(lines.contains { $0.hasPrefix("blue.yaml:6: spec.qos.priority: ") })
  }

  @Test func joinAndLeave() throws {
    var world = try world()
    _ = try apply(blue, to: &world)
    let join = try SliceWork.join(
      "blue", SliceMembership(cluster: "us-1", namespaces: ["shop"]), world.snapshot)
    #expect(join.writes.map(\.path) == ["slice/blue/member/us-1"])
    // What is not said stays.
    let change = try SliceWork.join(
      "blue", SliceMembership(cluster: "eu-1", replicas: 3), world.snapshot)
    #expect(change.changes[0].fields.map(\.field) == ["gateway.replicas", "gateway.type"])
    let leave = try SliceWork.leave("blue", "eu-1", world.snapshot)
    #expect(leave.writes == [RegisterWrite(path: "slice/blue/member/eu-1", value: nil)])
    #expect(throws: AdminError.self) { try SliceWork.leave("blue", "us-1", world.snapshot) }
    let missing = #expect(throws: AdminError.self) {
      try SliceWork.leave("blu", "us-1", world.snapshot)
    }
    #expect(missing?.message.contains("did you mean blue?") == true)
  }

  @Test func diffIgnoresWhatIsLeftOpen() throws {
    var world = try world()
    _ = try apply(blue, to: &world)
    #expect(try SliceWork.diff(try manifest(blue), world.snapshot, style: .plain).isEmpty)
    let text = try SliceWork.diff(
      try manifest(blue + "\n  dns: {ttl: 4s}"), world.snapshot, style: .plain)
    #expect(text.contains("+  dns:\n+    ttl: 4s"))
  }

  @Test func removesAClusterAltogether() throws {
    var world = try world()
    _ = try apply(blue, to: &world)
    let own = APIGrant.of(.own("eu-1"), id: 5, under: 1)
    #expect(throws: AdminError.self) {
      try ClusterRemoval("eu-1", from: world.snapshot, grants: [own], force: false)
    }
    let removal = try ClusterRemoval("eu-1", from: world.snapshot, grants: [own], force: true)
    #expect(removal.writes.map(\.path) == ["cluster/eu-1", "slice/blue/member/eu-1"])
    #expect(removal.floors == [Floor(grant: own.id, time: .max, keep: [])])
    #expect(throws: AdminError.self) {
      try ClusterRemoval("nowhere", from: world.snapshot, grants: [], force: true)
    }
  }
}

@Suite struct SignedChangesetFileTests {
  @Test func roundTrip() throws {
    var world = try AdminWorld()
    let made = try world.write("slice/blue", ["cidr": "10.11.0.0/16"])
    let text = SignedChangesetFile.text(made, name: "blue", comments: ["+ slice/blue"])
    #expect(text.hasPrefix("# + slice/blue\napiVersion: starling.dev/v1alpha1\nkind: Signed"))
    let read = try SignedChangesetFile.read(text, file: "x")
    #expect(read == [made])
    #expect(read[0].endorsements == made.endorsements)
    #expect(SignedChangesetFile.isSigned(read[0]))
  }

  @Test func alteredBytesShow() throws {
    var world = try AdminWorld()
    var made = try world.write("slice/blue", ["cidr": "10.11.0.0/16"])
    made.body[made.body.count - 1] ^= 1
    #expect(!SignedChangesetFile.isSigned(made))
    let error = #expect(throws: AdminError.self) {
      try SignedChangesetFile.read(blue, file: "blue.yaml")
    }
    #expect(error?.fix == "A manifest is applied: starling apply -f blue.yaml")
    #expect(throws: AdminError.self) {
      try SignedChangesetFile.read(
        "apiVersion: starling.dev/v1alpha1\nkind: SignedChangeset\nspec: {changeset: AAAA}\n",
        file: "x")
    }
  }

  @Test func logEntriesAreHeldAgainstTheBytes() throws {
    var world = try AdminWorld()
    let made = try world.write("slice/blue", ["cidr": "10.11.0.0/16"])
    var entry = APIChangeset(made, state: .counting, bytes: 1)
    #expect(LogCheck.matches(entry, made))
    entry.message = "another story"
    #expect(!LogCheck.matches(entry, made))
  }
}
