internal import Base

/// Which held changesets count, kept incrementally: the rules of `state.md` on an index by grant.
///
/// An ordinary write costs the floors on its grant, a floor or a grant its subtree. The rules are well
/// founded: whether something counts depends only on what is above it in the chain of grants, and
/// beside it on the subject's own floors. So whatever changes marks the grants that it bears upon, and
/// those are judged anew, nearest to the root first, until nothing changes any more; the outcome does
/// not depend on the order. The plain recursive form of the rules is the oracle in the tests.
///
/// What is inserted is verified and within its grant: see `Authority`.
struct CountingEngine: Sendable {
  let rules: CountingRules
  let authority: any Authority

  var held = ChunkedArray<HeldChangeset>()
  private var freeSlots: [Slot] = []
  private(set) var slots = ShardedDictionary<Digest, Slot>()
  var grants = ChunkedArray<GrantNode>()
  private var freeGrants: [GrantIndex] = []
  private(set) var nodes: [Digest: GrantIndex] = [:]
  /// By the grant that they are put on, whether it is held or not.
  private(set) var floors: [Digest: [FloorReference]] = [:]
  /// Grants `own:<c>` by cluster.
  private(set) var clusterGrants: [String: [GrantIndex]] = [:]
  /// Clusters that are members, by scope; what others write there does not count.
  private var members: [Set<String>] = [[]]
  /// A cluster has left a slice since this was last cleared.
  var hasDepartures = false

  /// Whose status changed since it was last asked for, and grants that became live or void.
  private(set) var touched: [Slot] = []
  private var grantChanges: [GrantIndex] = []
  /// Grants to be judged anew, by depth.
  private var dirty: [[GrantIndex]] = []
  private let vacant: ChangesetBox

  init(genesis: Genesis, authority: any Authority, rules: CountingRules) {
    self.rules = rules
    self.authority = authority
    let key = genesis.root.keys.first ?? PublicKey(words: (0, 0, 0, 0))
    vacant = ChangesetBox(
      Changeset(
        id: .zero, body: [], endorsements: [], clusterSet: genesis.id, under: .zero, author: key,
        time: .zero))
    insertNode(genesis.id, slot: -1, parent: -1, root: genesis.root, grant: nil)
    grants[0].isLive = true
  }

  /// The root's grant, which no changeset says.
  private func rootGrant(_ root: RootKeys) -> Grant {
    Grant(
      subject: root.keys.first ?? PublicKey(words: (0, 0, 0, 0)),
      capabilities: authority.rootCapabilities,
      delegationDepth: StateLimits.delegationDepth + 1)
  }

  @discardableResult
  private mutating func insertNode(
    _ id: Digest, slot: Slot, parent: GrantIndex, root: RootKeys?, grant: Grant?
  ) -> GrantIndex {
    let grant =
      grant ?? root.map(rootGrant) ?? Grant(subject: vacant.changeset.author, capabilities: [])
    var cluster: String?
    for case .own(let name) in grant.capabilities { cluster = name }
    let node = GrantNode(
      id: id, slot: slot, grant: grant, root: root,
      isToken: root == nil && authority.isToken(grant), cluster: cluster, parent: parent,
      depth: parent < 0 ? 0 : grants[Int(parent)].depth + 1, isLive: false)
    let index: GrantIndex
    if let free = freeGrants.popLast() {
      index = free
      grants[Int(index)] = node
    } else {
      index = GrantIndex(grants.count)
      grants.append(node)
    }
    nodes[id] = index
    if let cluster { clusterGrants[cluster, default: []].append(index) }
    return index
  }

  // MARK: What is held

  /// Takes a changeset under a grant that is held. Follow with `settle`.
  mutating func insert(_ changeset: Changeset, scope: ScopeNumber, parent: GrantIndex) -> Slot {
    var entry = HeldChangeset(box: ChangesetBox(changeset), scope: scope, parent: parent)
    entry.position = Int32(grants[Int(parent)].children.count)
    let slot: Slot
    if let free = freeSlots.popLast() {
      slot = free
    } else {
      slot = Slot(held.count)
      held.append(entry)
    }
    if changeset.grant != nil || changeset.rootChange != nil {
      entry.status.insert(changeset.grant != nil ? .makesGrant : .isRootChange)
      entry.made = insertNode(
        changeset.id, slot: slot, parent: parent, root: changeset.rootChange?.root,
        grant: changeset.grant)
      grants[Int(parent)].makers.append(slot)
    }
    for (i, floor) in changeset.floors.enumerated() {
      entry.status.insert(.carriesFloors)
      if floor.grant == changeset.under { entry.status.insert(.ownFloor) }
      floors[floor.grant, default: []].append(FloorReference(carrier: slot, index: Int32(i)))
    }
    held[Int(slot)] = entry
    slots[changeset.id] = slot
    grants[Int(parent)].children.append(slot)
    touch(slot)
    admit(slot, under: parent)
    return slot
  }

  /// Lets go of a changeset that nobody compares: superseded, or not counting. `false`: something
  /// hangs under the grant that it makes.
  mutating func remove(_ slot: Slot) -> Bool {
    let entry = held[Int(slot)]
    let changeset = entry.box.changeset
    let parent = Int(entry.parent)
    if entry.made >= 0 {
      guard grants[Int(entry.made)].children.isEmpty else { return false }
      removeNode(entry.made)
      grants[parent].makers.removeAll { $0 == slot }
    }
    if entry.status.contains(.counts) {
      // What it did, what supersedes it does too: nothing has to be judged anew.
      grants[parent].branches[entry.scope]?.alive.remove(
        TimedSlot(time: changeset.time, slot: slot))
    }
    for floor in changeset.floors {
      floors[floor.grant]?.removeAll { $0.carrier == slot }
      if floors[floor.grant]?.isEmpty == true { floors[floor.grant] = nil }
    }
    let position = Int(entry.position)
    let last = grants[parent].children.count - 1
    if position != last {
      let moved = grants[parent].children[last]
      grants[parent].children[position] = moved
      held[Int(moved)].position = Int32(position)
    }
    grants[parent].children.removeLast()
    slots[changeset.id] = nil
    held[Int(slot)] = HeldChangeset(box: vacant, scope: 0, parent: 0)
    freeSlots.append(slot)
    return true
  }

  private mutating func removeNode(_ index: GrantIndex) {
    let node = grants[Int(index)]
    nodes[node.id] = nil
    if let cluster = node.cluster {
      clusterGrants[cluster]?.removeAll { $0 == index }
      if clusterGrants[cluster]?.isEmpty == true { clusterGrants[cluster] = nil }
    }
    grants[Int(index)].isLive = false
    if !node.isDirty { freeGrants.append(index) }
  }

  func changeset(_ slot: Slot) -> Changeset { held[Int(slot)].box.changeset }

  // MARK: Membership

  mutating func addScope() {
    members.append([])
  }

  func isMember(_ cluster: String, _ scope: ScopeNumber) -> Bool {
    members[Int(scope)].contains(cluster)
  }

  func members(_ scope: ScopeNumber) -> Set<String> { members[Int(scope)] }

  /// Whose grants write there is judged anew.
  mutating func setMember(_ cluster: String, _ scope: ScopeNumber, _ isMember: Bool) {
    if isMember {
      guard members[Int(scope)].insert(cluster).inserted else { return }
    } else {
      guard members[Int(scope)].remove(cluster) != nil else { return }
      hasDepartures = true
    }
    for grant in clusterGrants[cluster] ?? [] {
      let writesThere = grants[Int(grant)].children.contains { held[Int($0)].scope == scope }
      if writesThere { markDirty(grant) }
    }
  }

  // MARK: Changes of status

  /// Judges all that is marked; afterwards `touched` tells whose status is another.
  mutating func settle() {
    var depth = 0
    while depth < dirty.count {
      guard let grant = dirty[depth].popLast() else {
        depth += 1
        continue
      }
      grants[Int(grant)].isDirty = false
      judge(grant)
      // What was just judged may bear on what is nearer to the root: a new root version does.
      depth = dirty.firstIndex { !$0.isEmpty } ?? dirty.count
    }
  }

  mutating func markDirty(_ grant: GrantIndex) {
    guard !grants[Int(grant)].isDirty else { return }
    grants[Int(grant)].isDirty = true
    let depth = grants[Int(grant)].depth
    while dirty.count <= depth { dirty.append([]) }
    dirty[depth].append(grant)
  }

  mutating func set(_ slot: Slot, counts: Bool, evidence: Bool) {
    let status = held[Int(slot)].status
    let counted = status.contains(.counts)
    guard counted != counts || status.contains(.evidence) != evidence else { return }
    if counts {
      held[Int(slot)].status.insert(.counts)
    } else {
      held[Int(slot)].status.remove(.counts)
    }
    if evidence {
      held[Int(slot)].status.insert(.evidence)
    } else {
      held[Int(slot)].status.remove(.evidence)
    }
    touch(slot)
    guard counted != counts else { return }
    follow(slot, counts: counts)
  }

  /// What follows from a changeset's beginning or ceasing to count.
  private mutating func follow(_ slot: Slot, counts: Bool) {
    let parent = held[Int(slot)].parent
    let scope = held[Int(slot)].scope
    let timed = TimedSlot(time: held[Int(slot)].box.changeset.time, slot: slot)
    if counts {
      grants[Int(parent)].branches[scope, default: GrantNode.Branch()].alive.insert(timed)
    } else {
      grants[Int(parent)].branches[scope]?.alive.remove(timed)
    }
    let made = held[Int(slot)].made
    if made >= 0 {
      grants[Int(made)].isLive = counts
      grantChanges.append(made)
      markDirty(made)
    }
    if held[Int(slot)].status.contains(.carriesFloors) {
      for floor in held[Int(slot)].box.changeset.floors {
        guard let target = nodes[floor.grant], bears(parent, on: target) else { continue }
        markDirty(target)
      }
    }
  }

  private mutating func touch(_ slot: Slot) {
    guard !held[Int(slot)].status.contains(.touched) else { return }
    held[Int(slot)].status.insert(.touched)
    touched.append(slot)
  }

  /// Whose status may be another since the last call.
  mutating func takeTouched() -> [Slot] {
    for slot in touched { held[Int(slot)].status.remove(.touched) }
    defer { touched.removeAll(keepingCapacity: true) }
    return touched
  }

  mutating func takeGrantChanges() -> [GrantIndex] {
    defer { grantChanges.removeAll() }
    return grantChanges
  }

  // MARK: Chains

  /// Whether a floor under `grant` binds `target` from above: `grant` is on the chain of `target`,
  /// or is a later version of the root at its end. Nothing but its successor binds a root version.
  func bears(_ grant: GrantIndex, on target: GrantIndex) -> Bool {
    if grants[Int(target)].isRoot { return false }
    var walk = grants[Int(target)].parent
    var origin: GrantIndex = -1
    while walk >= 0 {
      if walk == grant { return true }
      if origin < 0, grants[Int(walk)].isRoot { origin = walk }
      walk = grants[Int(walk)].parent
    }
    walk = grant
    while walk >= 0, grants[Int(walk)].isRoot {
      if walk == origin { return true }
      walk = grants[Int(walk)].parent
    }
    return false
  }

  /// Grants from `grant` up to the genesis, nearest first, itself included.
  func chain(_ grant: GrantIndex) -> [GrantIndex] {
    var out: [GrantIndex] = []
    var walk = grant
    while walk >= 0 {
      out.append(walk)
      walk = grants[Int(walk)].parent
    }
    return out
  }
}
