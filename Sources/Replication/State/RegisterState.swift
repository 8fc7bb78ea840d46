public import Base

/// A register as it stands: its values and what a new write has to know.
public struct RegisterState: Hashable, Sendable {
  public var name: RegisterName
  /// The value in force; its `value` is `nil` where the register is deleted.
  public var effective: RegisterValue
  /// What no other write covers either: a conflict, until somebody writes again.
  public var siblings: [RegisterValue]
  /// All dots seen: a write with this context covers everything that is there.
  public var context: VersionVector

  public var path: String { name.path }
  public var scope: Scope { name.scope }
  public var value: Value? { effective.value }
  public var isConflict: Bool { !siblings.isEmpty }
  public var values: [RegisterValue] { [effective] + siblings }

  /// The write that follows all that is there. `nil`: a lying context left no counter to this author;
  /// it can write again once that context's author is revoked.
  public func write(_ value: Value?, author: PublicKey) -> Write? {
    Write(path: path, value: value, author: author, after: context)
  }
}

/// One write to a register that counts.
public struct RegisterValue: Hashable, Sendable {
  /// `nil`: deleted.
  public var value: Value?
  public var author: PublicKey
  public var counter: UInt64
  public var context: VersionVector
  public var time: HybridTime
  public var changeset: Digest
  /// The grant it acts under.
  public var under: Digest
  /// A consumer failed on it: show it, do not act on it.
  public var isQuarantined: Bool
}

extension Write {
  /// A write that covers `context`; its counter is the author's next. `nil` at the counters' end.
  public init?(path: String, value: Value?, author: PublicKey, after context: VersionVector) {
    let seen = context[author]
    guard seen < StateLimits.counter else { return nil }
    self.init(path: path, value: value, counter: seen + 1, context: context)
  }
}

// MARK: - Reading registers

extension ReplicatedState: SyncSource {
  public func contains(_ id: Digest) -> Bool { engine.slots[id] != nil }

  /// Held, whether it counts or not; not what waits.
  public func changeset(_ id: Digest) -> Changeset? {
    engine.slots[id].map(engine.changeset)
  }

  public func counts(_ id: Digest) -> Bool {
    engine.slots[id].map { engine.held[Int($0)].status.contains(.counts) } ?? false
  }

  /// Changesets held, waiting ones not included.
  public var count: Int { engine.slots.count }

  public var waitingCount: Int { waiting.count }

  /// Scopes in which anything is held, ascending.
  public var scopes: [Scope] {
    index.scopes.filter { $0.count > 0 || $0.scope == .clusterset }.map(\.scope).sorted()
  }

  /// The compared set, ascending: what peers even out and keep.
  public func compared(_ scope: Scope) -> [Digest] {
    guard let number = index.numbers[scope] else { return [] }
    var out: [Digest] = []
    out.reserveCapacity(index.scopes[Int(number)].count)
    for entry in engine.held
    where entry.scope == number && entry.status.contains(.compared) {
      out.append(entry.box.changeset.id)
    }
    return out.sorted()
  }

  public func comparedCount(_ scope: Scope) -> Int {
    table(scope)?.count ?? 0
  }

  /// The digest of the compared set, kept incrementally.
  public func digest(_ scope: Scope) -> SetDigest {
    table(scope)?.digest ?? .zero
  }

  /// Equal on peers that show equal registers.
  public func viewHash(_ scope: Scope) -> Digest {
    table(scope)?.view.digest ?? .zero
  }

  public func trust(in scope: Scope) -> [Digest] {
    (table(scope)?.trust ?? []).map { engine.changeset($0) }
      .sorted { ($0.time, $0.id) < ($1.time, $1.id) }
      .map(\.id)
  }

  /// `nil` where nobody's counting write is held. A deleted register is not `nil`: whoever makes it
  /// again has to cover the deletion.
  public func register(_ path: String, scope: Scope = .clusterset) -> RegisterState? {
    index.numbers[scope].flatMap { index.record(path, $0) }.flatMap(registerState)
  }

  /// The effective value.
  public func value(_ path: String, scope: Scope = .clusterset) -> Value? {
    guard let number = index.numbers[scope], let record = index.record(path, number) else {
      return nil
    }
    return index.liveWrites(record, engine).first.flatMap { index.value($0, engine) }
  }

  /// Deleted ones too, ascending by path.
  public func registers(prefix: String = "", scope: Scope = .clusterset) -> [RegisterState] {
    paths(prefix: prefix, scope: scope) { _ in true }.compactMap { register($0, scope: scope) }
  }

  /// Of registers that have a value, ascending.
  public func paths(prefix: String = "", scope: Scope = .clusterset) -> [String] {
    paths(prefix: prefix, scope: scope) { index.records[Int($0)].isPresent }
  }

  private func paths(
    prefix: String, scope: Scope, where isWanted: (Int32) -> Bool
  ) -> [String] {
    guard let table = table(scope) else { return [] }
    var out: [String] = []
    table.paths.forEach(from: prefix) { path in
      guard path.utf8.starts(with: prefix.utf8) else { return false }
      if let record = table.records[path], isWanted(record) { out.append(path) }
      return true
    }
    return out
  }

  /// Registers with more than one value, of all scopes, ascending.
  public func conflicts() -> [RegisterState] {
    index.scopes.flatMap(\.conflicts).compactMap(registerState).sorted { $0.name < $1.name }
  }

  public var conflictCount: Int { index.scopes.reduce(0) { $0 + $1.conflicts.count } }

  /// The write that follows all that is in a register; `nil` where no counter is left to its author.
  public func write(
    _ path: String, _ value: Value?, scope: Scope = .clusterset, author: PublicKey
  ) -> Write? {
    let context = index.numbers[scope].flatMap { index.record(path, $0) }.map(context)
    return Write(path: path, value: value, author: author, after: context ?? VersionVector())
  }

  private func table(_ scope: Scope) -> ScopeTable? {
    index.numbers[scope].map { index.scopes[Int($0)] }
  }

  private func context(_ record: Int32) -> VersionVector {
    var out = VersionVector()
    for reference in index.records[Int(record)].writes
    where engine.held[Int(reference.slot)].status.contains(.compared) {
      let changeset = engine.changeset(reference.slot)
      let write = changeset.writes[Int(reference.index)]
      out.merge(write.context)
      out.include(changeset.author, write.counter)
    }
    return out
  }

  private func registerState(_ record: Int32) -> RegisterState? {
    let values = index.liveWrites(record, engine).map(registerValue)
    guard let first = values.first else { return nil }
    let entry = index.records[Int(record)]
    return RegisterState(
      name: RegisterName(scope: index.scopes[Int(entry.scope)].scope, path: entry.path),
      effective: first, siblings: Array(values.dropFirst()), context: context(record))
  }

  func registerValue(_ reference: WriteReference) -> RegisterValue {
    let changeset = engine.changeset(reference.slot)
    let write = changeset.writes[Int(reference.index)]
    return RegisterValue(
      value: write.value, author: changeset.author, counter: write.counter,
      context: write.context, time: changeset.time, changeset: changeset.id,
      under: changeset.under, isQuarantined: quarantined[changeset.id] != nil)
  }
}
