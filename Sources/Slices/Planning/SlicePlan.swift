internal import Base
public import Replication

/// The smallest set of register writes that makes the converged state what a manifest says.
///
/// Pure: nothing is sent. Errors are those that only the state can tell (`SliceManifest.init` finds
/// the others), with the same field paths.
public struct SlicePlan: Hashable, Sendable {
  public var slice: String
  /// Ascending by path; each register once.
  public var writes: [RegisterWrite]
  /// What the writes do, in the same order.
  public var changes: [PlanChange]
  /// Worth knowing before it is signed, for example a member that has not joined yet.
  public var notes: [String]

  public var isEmpty: Bool { writes.isEmpty }

  /// What `starling plan` and `starling diff` print.
  public var lines: [String] {
    changes.flatMap(\.lines) + notes.map { "! \($0)" }
  }

  /// `1 created, 2 changed, 0 deleted`.
  public var summary: String {
    func count(_ kind: PlanChange.Kind) -> Int { changes.count { $0.kind == kind } }
    return
      "\(count(.created)) created, \(count(.changed)) changed, \(count(.deleted)) deleted"
  }

  /// The writes in portions that fit a changeset each. Nearly always one.
  public func batches(limit: Int = Changeset.maximumWrites) -> [[RegisterWrite]] {
    stride(from: 0, to: writes.count, by: max(1, limit)).map {
      Array(writes[$0..<min(writes.count, $0 + max(1, limit))])
    }
  }

  /// Makes the state what the manifest says: members and sections that it leaves out go.
  public init(
    applying manifest: SliceManifest, to source: some RegisterSource
  ) throws(ManifestError) {
    let current = CurrentSlice(manifest.name, in: source)
    let errors = FieldErrors()
    PlanRules(manifest: manifest, current: current, source: source, errors: errors).check()
    var builder = PlanBuilder(source: source)
    let members = PlanBlocks(manifest: manifest, current: current, errors: errors)
      .assign(notes: &builder.notes)
    guard errors.isEmpty else { throw errors.result }

    let name = manifest.name
    builder.put(manifest.network, at: .slice(name), evenIfDefault: true)
    builder.put(manifest.isolation, at: .section(name, .isolation))
    builder.put(manifest.rotation, at: .section(name, .rotation))
    builder.put(manifest.qos, at: .section(name, .qos))
    builder.put(manifest.dns, at: .section(name, .dns))
    builder.put(manifest.placement, at: .section(name, .placement))
    for member in members {
      builder.put(
        member, at: .member(slice: name, cluster: member.cluster), evenIfDefault: true)
      builder.noteMember(member)
    }
    for cluster in current.members.keys.sorted()
    where !members.contains(where: { $0.cluster == cluster }) {
      builder.delete(.member(slice: name, cluster: cluster))
    }
    self = builder.plan(for: name)
  }

  /// Deletes the slice. Refused while namespaces take part or services are exported, unless `force`.
  public init(
    deleting name: String, from source: some RegisterSource, force: Bool = false
  ) throws(ManifestError) {
    let current = CurrentSlice(name, in: source)
    let errors = FieldErrors()
    if current.network == nil, current.members.isEmpty {
      errors.add("", "there is no slice \(FieldReader.quoted(name))")
    }
    for member in current.validMembers where !member.namespaces.isEmpty && !force {
      errors.add(
        SlicePath.member(slice: name, cluster: member.cluster).text,
        "namespaces still take part: \(member.namespaces.joined(separator: ", "))")
    }
    if current.exportCount > 0, !force {
      errors.add("slice/\(name)/export", "\(current.exportCount) exports are still there")
    }
    guard errors.isEmpty else { throw errors.result }
    var builder = PlanBuilder(source: source)
    let own = source.paths(withPrefix: "slice/\(name)/", in: .clusterset)
    for path in [SlicePath.slice(name).text] + own {
      if let path = SlicePath(path) { builder.delete(path) }
    }
    self = builder.plan(for: name)
  }

  init(
    slice: String, writes: [RegisterWrite], changes: [PlanChange], notes: [String]
  ) {
    self.slice = slice
    self.writes = writes
    self.changes = changes
    self.notes = notes
  }
}

/// Compares desired sections with registers and keeps what differs.
private struct PlanBuilder<Source: RegisterSource> {
  let source: Source
  var writes: [RegisterWrite] = []
  var changes: [PlanChange] = []
  var notes: [String] = []

  mutating func put<S: SliceSection>(
    _ section: S, at path: SlicePath, evenIfDefault: Bool = false
  ) {
    let old = source.value(path.text)
    var fields = section.value().fields ?? []
    if let old {
      // What a newer release wrote into this section stays in it.
      let errors = FieldErrors()
      var reader = FieldReader(old, at: "", errors: errors)
      let before = S(reading: &reader)
      fields += reader.unknownFields
      if errors.isEmpty, before.value() == section.value(),
        evenIfDefault || !fields.isEmpty
      {
        return
      }
    }
    let new: Value? =
      fields.isEmpty && !evenIfDefault
      ? nil
      : .map(
        fields: Dictionary(fields.map { ($0.name, $0.value) }, uniquingKeysWith: { a, _ in a }))
    record(path, old: old, new: new)
  }

  mutating func delete(_ path: SlicePath) {
    record(path, old: source.value(path.text), new: nil)
  }

  private mutating func record(_ path: SlicePath, old: Value?, new: Value?) {
    guard let change = PlanChange(path: path.text, old: old, new: new) else { return }
    changes.append(change)
    writes.append(RegisterWrite(path: path.text, value: new))
  }

  mutating func noteMember(_ member: SliceMember) {
    if source.value(SlicePath.clusterInfo(member.cluster).text) == nil {
      notes.append("\(member.cluster) is admitted and has not joined yet")
    }
    guard let value = source.value(SlicePath.cluster(member.cluster).text),
      let consent = (try? ClusterAdmission(value))?.consent
    else { return }
    for namespace in member.namespaces
    where namespace != SliceMember.everyNamespace && !consent.contains(namespace) {
      notes.append("\(member.cluster) has not consented to namespace \(namespace)")
    }
  }

  func plan(for slice: String) -> SlicePlan {
    SlicePlan(
      slice: slice, writes: writes.sorted { $0.path < $1.path },
      changes: changes.sorted { $0.path < $1.path }, notes: notes)
  }
}
