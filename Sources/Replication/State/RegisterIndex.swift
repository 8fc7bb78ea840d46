internal import Base

/// What follows from what counts: the compared sets, what may be dropped, and the registers.
struct RegisterIndex: Sendable {
  private(set) var scopes: [ScopeTable] = [ScopeTable(scope: .clusterset)]
  private(set) var numbers: [Scope: ScopeNumber] = [.clusterset: 0]
  private(set) var records = ChunkedArray<RegisterRecord>()
  private var freeRecords: [Int32] = []
  private var touched: [Int32] = []
  /// Counting changesets of which nothing may be left, to be looked at again before they go.
  private var spent: [Slot] = []

  /// `nil` where there is no room for another scope.
  mutating func number(_ scope: Scope, engine: inout CountingEngine) -> ScopeNumber? {
    if let known = numbers[scope] { return known }
    guard scopes.count < StateLimits.scopes else { return nil }
    let number = ScopeNumber(scopes.count)
    scopes.append(ScopeTable(scope: scope))
    numbers[scope] = number
    engine.addScope()
    return number
  }

  func record(_ path: String, _ scope: ScopeNumber) -> Int32? {
    scopes[Int(scope)].records[path]
  }

  // MARK: Following the engine

  /// Takes in whose counting changed, until memberships change nothing more.
  ///
  /// Appends to `all` whose status was looked at; may repeat.
  mutating func follow(
    _ engine: inout CountingEngine, touched all: inout [Slot], changes: inout StateChanges
  ) {
    while !engine.touched.isEmpty {
      let slots = engine.takeTouched()
      all += slots
      var again = slots
      for slot in slots { reindex(slot, &engine, again: &again) }
      for slot in again { compare(slot, &engine, changes: &changes) }
      refreshTouched(&engine, changes: &changes)
      engine.settle()
    }
  }

  /// Puts a changeset's writes into its registers when it counts, takes them out when it does not;
  /// whose being superseded may depend on it goes to `again`.
  private mutating func reindex(
    _ slot: Slot, _ engine: inout CountingEngine, again: inout [Slot]
  ) {
    let entry = engine.held[Int(slot)]
    let counts = entry.status.contains(.counts)
    guard counts != entry.status.contains(.indexed) else { return }
    if counts {
      engine.held[Int(slot)].status.insert(.indexed)
    } else {
      engine.held[Int(slot)].status.remove(.indexed)
    }
    let changeset = entry.box.changeset
    for (i, write) in changeset.writes.enumerated() {
      let reference = WriteReference(slot: slot, index: Int32(i))
      if counts {
        let record = insertRecord(write.path, entry.scope)
        for other in records[record].writes
        where isSameAuthor(other.slot, entry, changeset.author, engine) {
          again.append(other.slot)
        }
        records[record].writes.append(reference)
        touch(record)
      } else if let found = self.record(write.path, entry.scope) {
        let record = Int(found)
        records[record].writes.removeAll { $0 == reference }
        for other in records[record].writes
        where isSameAuthor(other.slot, entry, changeset.author, engine) {
          again.append(other.slot)
        }
        touch(record)
      }
    }
    for floor in changeset.floors {
      for other in engine.floors[floor.grant] ?? []
      where other.carrier != slot && isSameAuthor(other.carrier, entry, changeset.author, engine) {
        again.append(other.carrier)
      }
    }
  }

  private func isSameAuthor(
    _ other: Slot, _ entry: HeldChangeset, _ author: PublicKey, _ engine: CountingEngine
  ) -> Bool {
    if !engine.rules.coveringNeedsAuthor { return true }
    return engine.held[Int(other)].parent == entry.parent
      && engine.held[Int(other)].box.changeset.author == author
  }

  /// Whether a changeset belongs to the compared set may have changed.
  private mutating func compare(
    _ slot: Slot, _ engine: inout CountingEngine, changes: inout StateChanges
  ) {
    let entry = engine.held[Int(slot)]
    let isLeft = entry.status.contains(.counts) && !isSuperseded(entry, slot, engine)
    let wanted = isLeft || (entry.status.contains(.evidence) && engine.rules.rivalsAreEvidence)
    if entry.status.contains(.counts), !wanted { spent.append(slot) }
    guard wanted != entry.status.contains(.compared) else { return }
    let changeset = entry.box.changeset
    let table = Int(entry.scope)
    let sign = wanted ? 1 : -1
    if wanted {
      engine.held[Int(slot)].status.insert(.compared)
      scopes[table].digest.insert(changeset.id)
      changes.comparedInserted(changeset.id, scopes[table].scope)
    } else {
      engine.held[Int(slot)].status.remove(.compared)
      scopes[table].digest.remove(changeset.id)
      changes.comparedRemoved(changeset.id, scopes[table].scope)
    }
    scopes[table].count += sign
    engine.grants[Int(entry.parent)].usage.registers += sign * changeset.writes.count
    engine.grants[Int(entry.parent)].usage.bytes += sign * changeset.body.count
    if entry.made >= 0 || entry.status.contains(.carriesFloors) {
      if wanted { scopes[table].trust.insert(slot) } else { scopes[table].trust.remove(slot) }
      // A floor in a slice's scope binds nothing but what its own author wrote there.
      if entry.scope == 0 { changes.touchesTrust = true }
    }
    for write in changeset.writes {
      if let record = record(write.path, entry.scope) { touch(Int(record)) }
    }
  }

  /// Whether nothing of a counting changeset is left.
  private func isSuperseded(
    _ entry: HeldChangeset, _ slot: Slot, _ engine: CountingEngine
  ) -> Bool {
    if entry.made >= 0, engine.rules.grantsStay { return false }
    let changeset = entry.box.changeset
    for write in changeset.writes where !isCovered(write, of: changeset, entry, engine) {
      return false
    }
    for floor in changeset.floors where !isSubsumed(floor, of: changeset, slot, entry, engine) {
      return false
    }
    return true
  }

  private func isCovered(
    _ write: Write, of changeset: Changeset, _ entry: HeldChangeset, _ engine: CountingEngine
  ) -> Bool {
    guard let record = record(write.path, entry.scope) else { return false }
    for other in records[Int(record)].writes
    where isSameAuthor(other.slot, entry, changeset.author, engine) {
      let later = engine.held[Int(other.slot)].box.changeset
      guard later.time >= changeset.time || !engine.rules.coveringNeedsTime else { continue }
      if later.writes[Int(other.index)].context.covers(changeset.author, write.counter) {
        return true
      }
    }
    return false
  }

  /// Ties are broken by ID, so that two equal floors do not drop each other.
  private func isSubsumed(
    _ floor: Floor, of changeset: Changeset, _ slot: Slot, _ entry: HeldChangeset,
    _ engine: CountingEngine
  ) -> Bool {
    for other in engine.floors[floor.grant] ?? []
    where other.carrier != slot && isSameAuthor(other.carrier, entry, changeset.author, engine) {
      let carrier = engine.held[Int(other.carrier)]
      // A subject's own floor binds the scope that carries it.
      guard carrier.status.contains(.counts), carrier.scope == entry.scope else { continue }
      let later = carrier.box.changeset.floors[Int(other.index)]
      let isGreater =
        (later.time, -later.keep.count, carrier.box.changeset.id)
        > (floor.time, -floor.keep.count, changeset.id)
      if isGreater,
        later.keep.allSatisfy(floor.keep.containsSorted) || !engine.rules.subsumingNeedsKeep
      {
        return true
      }
    }
    return false
  }

  /// Counting changesets of which nothing is left by now, each once; they leave the registers' lists.
  mutating func takeSpent(_ engine: inout CountingEngine) -> [Slot] {
    guard !spent.isEmpty else { return [] }
    var out: [Slot] = []
    for slot in spent {
      let entry = engine.held[Int(slot)]
      guard entry.status.contains(.counts), !entry.status.contains(.compared),
        entry.status.contains(.indexed)
      else { continue }
      engine.held[Int(slot)].status.remove(.indexed)
      let changeset = entry.box.changeset
      for (i, write) in changeset.writes.enumerated() {
        guard let record = record(write.path, entry.scope) else { continue }
        let reference = WriteReference(slot: slot, index: Int32(i))
        records[Int(record)].writes.removeAll { $0 == reference }
      }
      out.append(slot)
    }
    spent.removeAll(keepingCapacity: true)
    return out
  }

  /// Takes a changeset out of everything, whether it counts or not: its scope is not held any more.
  mutating func withdraw(
    _ slot: Slot, _ engine: inout CountingEngine, changes: inout StateChanges
  ) {
    engine.set(slot, counts: false, evidence: false)
    var all: [Slot] = []
    follow(&engine, touched: &all, changes: &changes)
  }

  /// Where superseded changesets stay.
  mutating func forgetSpent() {
    spent.removeAll(keepingCapacity: true)
  }
}

// MARK: - Registers

extension RegisterIndex {
  private mutating func touch(_ record: Int) {
    guard !records[record].isTouched else { return }
    records[record].isTouched = true
    touched.append(Int32(record))
  }

  private mutating func insertRecord(_ path: String, _ scope: ScopeNumber) -> Int {
    if let known = scopes[Int(scope)].records[path] { return Int(known) }
    let concernsTrust =
      scope == 0 && (PathRule.membership(path) != nil || PathRule.admission(path) != nil)
    let record = RegisterRecord(path: path, scope: scope, concernsTrust: concernsTrust)
    let index: Int
    if let free = freeRecords.popLast() {
      index = Int(free)
      records[index] = record
    } else {
      index = records.count
      records.append(record)
    }
    scopes[Int(scope)].records[path] = Int32(index)
    scopes[Int(scope)].paths.insert(path)
    return index
  }

  private mutating func refreshTouched(
    _ engine: inout CountingEngine, changes: inout StateChanges
  ) {
    for record in touched {
      records[Int(record)].isTouched = false
      refresh(record, &engine, changes: &changes)
    }
    touched.removeAll(keepingCapacity: true)
  }

  private mutating func refresh(
    _ index: Int32, _ engine: inout CountingEngine, changes: inout StateChanges
  ) {
    let record = records[Int(index)]
    let table = Int(record.scope)
    let live = liveWrites(index, engine)
    var share = ViewHash()
    let isPresent = live.first.map { value($0, engine) != nil } ?? false
    // A register that is deleted, and nothing else, looks like one that never was.
    if isPresent || live.count > 1 {
      for (i, write) in live.enumerated() {
        share.add(engine.changeset(write.slot).id, index: write.index, rank: i == 0 ? 0 : 1)
      }
    }
    if share != record.share {
      scopes[table].view.subtract(record.share)
      scopes[table].view.add(share)
      records[Int(index)].share = share
      changes.touchedRegisters.append(
        RegisterName(scope: scopes[table].scope, path: record.path))
    }
    if record.isConflict != (live.count > 1) {
      records[Int(index)].isConflict = live.count > 1
      if live.count > 1 {
        scopes[table].conflicts.insert(index)
      } else {
        scopes[table].conflicts.remove(index)
      }
    }
    if record.isPresent != isPresent {
      records[Int(index)].isPresent = isPresent
      if record.concernsTrust { followTrust(record.path, isPresent, &engine, &changes) }
    }
    if record.writes.isEmpty {
      scopes[table].records[record.path] = nil
      scopes[table].paths.remove(record.path)
      freeRecords.append(index)
    }
  }

  /// An admission or a membership came or went.
  private mutating func followTrust(
    _ path: String, _ isPresent: Bool, _ engine: inout CountingEngine,
    _ changes: inout StateChanges
  ) {
    changes.touchesTrust = true
    guard let (slice, cluster) = PathRule.membership(path) else { return }
    guard let scope = number(.slice(slice), engine: &engine) else { return }
    engine.setMember(cluster, scope, isPresent)
  }

  /// The values of a register, the effective one first: compared writes that the context of no other
  /// covers, descending by (HLC, author, ID).
  func liveWrites(_ index: Int32, _ engine: CountingEngine) -> [WriteReference] {
    let writes = records[Int(index)].writes
    if writes.count == 1 {
      return engine.held[Int(writes[0].slot)].status.contains(.compared) ? writes : []
    }
    var live: [WriteReference] = []
    let compared = writes.filter { engine.held[Int($0.slot)].status.contains(.compared) }
    for write in compared {
      let changeset = engine.changeset(write.slot)
      let counter = changeset.writes[Int(write.index)].counter
      let isCovered =
        engine.rules.contextsCover
        && compared.contains {
          $0 != write
            && engine.changeset($0.slot).writes[Int($0.index)].context
              .covers(changeset.author, counter)
        }
      if !isCovered { live.append(write) }
    }
    return live.sorted {
      let (a, b) = (engine.changeset($0.slot), engine.changeset($1.slot))
      return (a.time, a.author, a.id) > (b.time, b.author, b.id)
    }
  }

  func value(_ write: WriteReference, _ engine: CountingEngine) -> Value? {
    engine.held[Int(write.slot)].box.changeset.writes[Int(write.index)].value
  }
}
