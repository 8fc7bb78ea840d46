public import Base

/// Writes signed again together with a floor that voids their older form: one changeset, so that
/// nobody ever sees neither or both.
public struct ResigningStep: Hashable, Sendable {
  public var scope: Scope
  public var writes: [Write]
  public var floor: Floor
}

extension ReplicatedState {
  // MARK: Compaction

  /// The next compaction of what one grant's subject wrote in a scope: the oldest live writes signed
  /// again, and the floor raised to the next oldest. What shows nowhere any more (deletions that
  /// delete nothing, writes that others have covered) is gone afterwards.
  ///
  /// The draft belongs under the same grant, by its subject, with a new HLC. `nil`: it would gain less
  /// than half of what it would sign, or less than so many changesets.
  public func compaction(
    under grant: Digest, scope: Scope, batch: Int = StateLimits.compactionBatch,
    gaining least: Int = 1
  ) -> ResigningStep? {
    guard let parent = engine.nodes[grant], engine.grants[Int(parent)].heedsOwnFloors,
      let number = index.numbers[scope],
      let branch = engine.grants[Int(parent)].branches[number]
    else { return nil }
    var draft = ResigningDraft(author: engine.grants[Int(parent)].grant.subject)
    var end: HybridTime?
    branch.alive.forEach { timed in
      // A changeset with a floor on its own grant is not voided by one.
      if engine.held[Int(timed.slot)].status.contains(.ownFloor) { return true }
      if draft.looked >= batch || !resign(timed.slot, into: &draft) {
        end = timed.time
        return false
      }
      return true
    }
    guard draft.vanished >= max(least, 1), draft.vanished * 2 >= draft.looked else { return nil }
    let floor = Floor(
      grant: grant, time: end ?? HybridTime(rawValue: draft.latest.rawValue + 1),
      keep: draft.kept.sorted())
    return ResigningStep(scope: scope, writes: draft.writes, floor: floor)
  }

  // MARK: Adoption

  /// The steps by which `author` takes over what is to be kept of a grant that names too many to keep:
  /// each signs the oldest of them again and raises the floor, the last one revokes the grant.
  ///
  /// Sign them in this order, with rising HLCs. `author` must be allowed to write these registers and
  /// to put floors on the grant. What cannot be taken over (grants, floors, conflicts, what a cluster
  /// says of itself) stays by name. `nil`: even that is too much for one floor.
  public func adoption(
    of grant: Digest, keeping kept: some Sequence<Digest>, by author: PublicKey
  ) -> [ResigningStep]? {
    var remaining = Set(kept)
    let slots = remaining.compactMap { engine.slots[$0] }.sorted {
      let (a, b) = (engine.changeset($0), engine.changeset($1))
      return (a.time, a.id) < (b.time, b.id)
    }
    var steps: [ResigningStep] = []
    var draft = ResigningDraft(author: author)
    /// What stays by name and is older than the next step's floor.
    var named: [Digest] = []
    var next = 0
    while remaining.count > StateLimits.keepIDs {
      guard next < slots.count, named.count <= StateLimits.keepIDs / 2 else { return nil }
      let id = engine.changeset(slots[next]).id
      if canAdopt(slots[next]), resign(slots[next], into: &draft) {
        next += 1
        // A write that no counter is left for stays by name, too.
        if draft.kept.isEmpty { remaining.remove(id) }
        named += draft.kept
        draft.kept = []
      } else if draft.looked == 0 {
        named.append(id)
        next += 1
      } else {
        steps.append(step(&draft, grant, engine.changeset(slots[next]).time, named))
      }
    }
    // A step of its own where there is something left over: the last one has the longest keep list.
    if draft.looked > 0, next < slots.count {
      steps.append(step(&draft, grant, engine.changeset(slots[next]).time, named))
    }
    var last = step(&draft, grant, .max, [])
    last.floor.keep = remaining.sorted()
    return steps + [last]
  }

  private func canAdopt(_ slot: Slot) -> Bool {
    let entry = engine.held[Int(slot)]
    guard entry.scope == 0, entry.made < 0, !entry.status.contains(.carriesFloors) else {
      return false
    }
    return engine.grants[Int(entry.parent)].cluster == nil
      && !shownRegisters(slot).contains { register($0.path)?.isConflict ?? false }
  }

  private func step(
    _ draft: inout ResigningDraft, _ grant: Digest, _ time: HybridTime, _ named: [Digest]
  ) -> ResigningStep {
    defer { draft = ResigningDraft(author: draft.author) }
    return ResigningStep(
      scope: .clusterset, writes: draft.writes,
      floor: Floor(grant: grant, time: time, keep: (named + draft.kept).sorted()))
  }

  // MARK: Signing again

  private struct ResigningDraft {
    var author: PublicKey
    var writes: [Write] = []
    var kept: [Digest] = []
    var bytes = 0
    /// Changesets taken in, and those of which nothing is signed again.
    var looked = 0
    var vanished = 0
    var latest = HybridTime.zero
  }

  /// Adds what still shows of a changeset; `false`: it does not fit any more.
  private func resign(_ slot: Slot, into draft: inout ResigningDraft) -> Bool {
    let changeset = engine.changeset(slot)
    let scope = engine.held[Int(slot)].scope
    guard draft.looked == 0 || draft.bytes + changeset.body.count <= Changeset.maximumBytes / 2,
      draft.writes.count + changeset.writes.count <= Changeset.maximumWrites,
      draft.kept.count < StateLimits.keepIDs / 2
    else { return false }
    var writes: [Write] = []
    var mustStay = engine.held[Int(slot)].made >= 0 || !changeset.floors.isEmpty
    for write in changeset.writes {
      guard let record = index.record(write.path, scope) else { continue }
      let live = index.liveWrites(record, engine)
      guard live.contains(where: { $0.slot == slot }) else { continue }
      // Nothing of anybody else's would come back without this deletion.
      if write.value == nil, isAlone(slot, in: record) { continue }
      // To sign one side of a conflict again would settle it, and nobody has looked at it.
      guard live.count == 1,
        let again = self.write(
          write.path, write.value, scope: changeset.scope, author: draft.author)
      else {
        mustStay = true
        break
      }
      writes.append(again)
    }
    draft.looked += 1
    draft.latest = max(draft.latest, changeset.time)
    if mustStay {
      draft.kept.append(changeset.id)
      return true
    }
    if writes.isEmpty { draft.vanished += 1 }
    draft.bytes += writes.isEmpty ? 0 : changeset.body.count
    draft.writes += writes
    return true
  }

  /// Whether all that counts in a register was written under the same grant.
  private func isAlone(_ slot: Slot, in record: Int32) -> Bool {
    let parent = engine.held[Int(slot)].parent
    return index.records[Int(record)].writes.allSatisfy {
      engine.held[Int($0.slot)].parent == parent
    }
  }
}
