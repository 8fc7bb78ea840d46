import Base

@testable import Replication

/// The rules in their plain recursive form, over a set of verified changesets: slow, short, and not
/// derived from the engine. The first part follows `state_model.py` line by line; root changes and
/// slice scopes, of which that does not speak, follow `state.md`.
struct CountingOracle {
  let held: [Changeset]
  let genesis: Genesis
  let authority: any Authority
  private let byID: [Digest: Changeset]
  private let under: [Digest: [Changeset]]
  private let targeting: [Digest: [Changeset]]
  private var memo: [Digest: Bool] = [:]
  private(set) var evidence: Set<Digest> = []
  private(set) var counting: Set<Digest> = []
  private var members: [String: Set<String>] = [:]

  init(_ held: [Changeset], genesis: Genesis, authority: any Authority) {
    self.held = held
    self.genesis = genesis
    self.authority = authority
    byID = Dictionary(uniqueKeysWithValues: held.map { ($0.id, $0) })
    under = Dictionary(grouping: held, by: \.under)
    var targeting: [Digest: [Changeset]] = [:]
    for changeset in held {
      for target in Set(changeset.floors.map(\.grant)) {
        targeting[target, default: []].append(changeset)
      }
    }
    self.targeting = targeting
    for changeset in held where changeset.scope == .clusterset && counts(changeset) {
      counting.insert(changeset.id)
    }
    // Who is a member is read off the converged ClusterSet scope, before any slice's scope.
    for (path, shown) in view(.clusterset) where shown.effective != nil {
      if let (slice, cluster) = PathRule.membership(path) {
        members[slice, default: []].insert(cluster)
      }
    }
    for changeset in held where changeset.scope != .clusterset && counts(changeset) {
      counting.insert(changeset.id)
    }
  }

  // MARK: Counting

  private func root(_ id: Digest) -> RootKeys? {
    id == genesis.id ? genesis.root : byID[id]?.rootChange?.root
  }

  private func grant(_ id: Digest) -> Grant? {
    if let root = root(id) {
      return Grant(
        subject: root.keys[0], capabilities: authority.rootCapabilities,
        delegationDepth: StateLimits.delegationDepth + 1)
    }
    return byID[id]?.grant
  }

  private func isToken(_ id: Digest) -> Bool {
    root(id) == nil && grant(id).map(authority.isToken) ?? false
  }

  /// Grants above, nearest first, with all versions of the root at the end that grew out of it.
  private func chain(_ id: Digest) -> [Digest]? {
    var out: [Digest] = []
    var walk = id
    while walk != genesis.id {
      guard let changeset = byID[walk] else { return nil }
      walk = changeset.under
      out.append(walk)
    }
    if let origin = ([id] + out).first(where: { root($0) != nil }) {
      var queue = [origin]
      while let version = queue.popLast() {
        for next in under[version] ?? [] where next.rootChange != nil {
          out.append(next.id)
          queue.append(next.id)
        }
      }
    }
    return out
  }

  private func may(_ changeset: Changeset) -> Bool {
    guard let grant = grant(changeset.under) else { return false }
    let root = root(changeset.under)
    guard root?.keys.contains(changeset.author) ?? (grant.subject == changeset.author) else {
      return false
    }
    if authority.objection(to: changeset, under: grant, isRoot: root != nil) != nil { return false }
    if case .slice(let slice) = changeset.scope {
      for case .own(let cluster) in grant.capabilities
      where members[slice]?.contains(cluster) == true {
        return true
      }
      return false
    }
    return true
  }

  private mutating func floors(
    on id: Digest, scope: Scope, fromAbove: Bool
  ) -> [(carrier: Changeset, floor: Floor)] {
    var out: [(Changeset, Floor)] = []
    if root(id) != nil {
      if fromAbove, let successor = successor(of: id), let change = successor.rootChange {
        out.append((successor, Floor(grant: id, time: .max, keep: change.keep)))
      }
      return out
    }
    let above = chain(id) ?? []
    for changeset in targeting[id] ?? [] {
      for floor in changeset.floors where floor.grant == id {
        if fromAbove {
          if above.contains(changeset.under), counts(changeset) { out.append((changeset, floor)) }
        } else if changeset.under == id, changeset.scope == scope, !isToken(id), may(changeset),
          lives(changeset, floors(on: id, scope: scope, fromAbove: true))
        {
          out.append((changeset, floor))
        }
      }
    }
    return out
  }

  private func successor(of id: Digest) -> Changeset? {
    (under[id] ?? []).filter { $0.rootChange != nil && may($0) }.min { $0.id < $1.id }
  }

  private func lives(
    _ changeset: Changeset, _ floors: [(carrier: Changeset, floor: Floor)]
  ) -> Bool {
    !floors.contains {
      changeset.time < $0.floor.time && !$0.floor.keep.contains(changeset.id)
        && changeset.id != $0.carrier.id
    }
  }

  private mutating func counts(_ changeset: Changeset) -> Bool {
    if let known = memo[changeset.id] { return known }
    memo[changeset.id] = false
    let result = judge(changeset)
    memo[changeset.id] = result
    return result
  }

  private mutating func judge(_ changeset: Changeset) -> Bool {
    let parent = changeset.under
    guard may(changeset) else { return false }
    if parent != genesis.id {
      guard chain(parent) != nil, let above = byID[parent], counts(above) else { return false }
    }
    if changeset.rootChange != nil { return successor(of: parent)?.id == changeset.id }
    let scope = changeset.scope
    guard lives(changeset, floors(on: parent, scope: scope, fromAbove: true)) else { return false }
    if !changeset.floors.contains(where: { $0.grant == parent }),
      !lives(changeset, floors(on: parent, scope: scope, fromAbove: false))
    {
      return false
    }
    guard changeset.grant != nil, isToken(parent) else { return true }
    let above = floors(on: parent, scope: scope, fromAbove: true)
    let enrolments = (under[parent] ?? []).filter {
      $0.grant != nil && may($0) && lives($0, above)
    }
    if enrolments.count == 1 { return true }
    let compared = enrolments.map(\.id).sorted().prefix(StateLimits.rivalEnrolments)
    if compared.contains(changeset.id) { evidence.insert(changeset.id) }
    return false
  }

  // MARK: Compared sets and views

  func compared(_ scope: Scope) -> Set<Digest> {
    let counted = held.filter { $0.scope == scope && counting.contains($0.id) }
    let same = Dictionary(grouping: counted) { [$0.author.hex, $0.under.hex] }
    let left = counted.filter { changeset in
      !isSuperseded(changeset, same[[changeset.author.hex, changeset.under.hex]] ?? [])
    }
    return Set(left.map(\.id)).union(evidence.filter { byID[$0]?.scope == scope })
  }

  private func isSuperseded(_ changeset: Changeset, _ others: [Changeset]) -> Bool {
    guard changeset.grant == nil, changeset.rootChange == nil else { return false }
    for floor in changeset.floors {
      let isSubsumed = others.contains { other in
        other.id != changeset.id
          && other.floors.contains {
            $0.grant == floor.grant
              && ($0.time, -$0.keep.count, other.id) > (floor.time, -floor.keep.count, changeset.id)
              && Set($0.keep).isSubset(of: floor.keep)
          }
      }
      if !isSubsumed { return false }
    }
    for write in changeset.writes {
      let isCovered = others.contains { other in
        other.time >= changeset.time
          && other.writes.contains {
            $0.path == write.path && $0.context.covers(changeset.author, write.counter)
          }
      }
      if !isCovered { return false }
    }
    return true
  }

  struct Shown: Hashable {
    var effective: Value?
    var conflicts: [Value?]
  }

  func view(_ scope: Scope) -> [String: Shown] {
    let compared = compared(scope).subtracting(evidence)
    var registers: [String: [(changeset: Changeset, write: Write)]] = [:]
    for changeset in held where compared.contains(changeset.id) {
      for write in changeset.writes {
        registers[write.path, default: []].append((changeset, write))
      }
    }
    return registers.compactMapValues { writes in
      var live = writes.filter { one in
        !writes.contains {
          $0.changeset.id != one.changeset.id
            && $0.write.context.covers(one.changeset.author, one.write.counter)
        }
      }
      live.sort {
        ($0.changeset.time, $0.changeset.author, $0.changeset.id)
          > ($1.changeset.time, $1.changeset.author, $1.changeset.id)
      }
      guard let first = live.first else { return nil }
      if live.count == 1, first.write.value == nil { return nil }
      return Shown(
        effective: first.write.value, conflicts: live.dropFirst().map(\.write.value))
    }
  }
}

extension ReplicatedState {
  /// The registers as the oracle shows them.
  func shown(_ scope: Scope) -> [String: CountingOracle.Shown] {
    var out: [String: CountingOracle.Shown] = [:]
    for register in registers(scope: scope) where register.value != nil || register.isConflict {
      out[register.path] = CountingOracle.Shown(
        effective: register.value, conflicts: register.siblings.map(\.value))
    }
    return out
  }

  var heldChangesets: [Changeset] {
    engine.slots.values.map { engine.changeset($0) }.sorted { $0.id < $1.id }
  }

  var evidence: Set<Digest> {
    Set(engine.held.filter { $0.status.contains(.evidence) }.map(\.box.changeset.id))
  }

  var counting: Set<Digest> {
    Set(engine.held.filter { $0.status.contains(.counts) }.map(\.box.changeset.id))
  }
}
