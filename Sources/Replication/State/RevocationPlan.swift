public import Base

/// What lives under a grant, for whoever wants to revoke it to choose what stays.
public struct RevocationPlan: Sendable {
  /// One changeset that counts directly under the grant.
  public struct Item: Hashable, Sendable {
    public var changeset: Digest
    public var time: HybridTime
    public var message: String
    /// Registers that would show another value, or none, without it; ascending.
    public var registers: [RegisterName]
    /// The grant that it makes, and how many changesets count below that, at any depth.
    public var grant: Grant?
    public var below: Int
    /// Grants that it puts floors on: void without it.
    public var floors: [Digest]
  }

  public var grant: GrantState
  /// Ascending by (HLC, ID).
  public var items: [Item]

  /// Voids everything under the grant but these, for ever, whatever else its subject signs or backdates.
  ///
  /// `nil` where there are too many to name: `ReplicatedState.adoption` signs some of them again first.
  public func floor(keeping kept: some Sequence<Digest>) -> Floor? {
    let keep = Set(kept).sorted()
    guard keep.count <= StateLimits.keepIDs else { return nil }
    return Floor(grant: grant.id, time: .max, keep: keep)
  }
}

extension Floor {
  /// Makes one enrolment under a token the only one that ever counts.
  public static func seal(token: Digest, enrolment: Digest) -> Floor {
    Floor(grant: token, time: .max, keep: [enrolment])
  }
}

extension ReplicatedState {
  /// `nil` where the grant is not held, or is a root version: the root is changed, not revoked.
  public func revocationPlan(_ id: Digest) -> RevocationPlan? {
    guard let index = engine.nodes[id], !engine.grants[Int(index)].isRoot, let grant = grant(id)
    else { return nil }
    let items = countingChildren(index).map { slot in
      let changeset = engine.changeset(slot)
      let made = engine.held[Int(slot)].made
      return RevocationPlan.Item(
        changeset: changeset.id, time: changeset.time, message: changeset.message,
        registers: shownRegisters(slot), grant: changeset.grant,
        below: made < 0 ? 0 : countingBelow(made), floors: changeset.floors.map(\.grant))
    }
    return RevocationPlan(grant: grant, items: items)
  }

  private func countingChildren(_ grant: GrantIndex) -> [Slot] {
    engine.grants[Int(grant)].children
      .filter { engine.held[Int($0)].status.contains(.counts) }
      .sorted {
        let (a, b) = (engine.changeset($0), engine.changeset($1))
        return (a.time, a.id) < (b.time, b.id)
      }
  }

  private func countingBelow(_ grant: GrantIndex) -> Int {
    var total = 0
    var queue = [grant]
    while let next = queue.popLast() {
      for slot in engine.grants[Int(next)].children
      where engine.held[Int(slot)].status.contains(.counts) {
        total += 1
        let made = engine.held[Int(slot)].made
        if made >= 0 { queue.append(made) }
      }
    }
    return total
  }

  /// Registers among whose values a changeset's writes are.
  func shownRegisters(_ slot: Slot) -> [RegisterName] {
    let scope = engine.held[Int(slot)].scope
    let name = index.scopes[Int(scope)].scope
    return engine.changeset(slot).writes.map(\.path).filter { path in
      guard let record = index.record(path, scope) else { return false }
      return index.liveWrites(record, engine).contains { $0.slot == slot }
    }.sorted().map { RegisterName(scope: name, path: $0) }
  }
}
