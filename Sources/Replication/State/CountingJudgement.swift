internal import Base

/// The rules themselves: what counts under one grant.
extension CountingEngine {
  /// Whether what hangs under a grant may count at all.
  private func isOpen(_ grant: GrantIndex) -> Bool {
    grants[Int(grant)].isLive || !rules.voidGrantsVoidTheirSubtree
  }

  /// Judges one new changeset: in the common case nothing else is looked at.
  mutating func admit(_ slot: Slot, under grant: GrantIndex) {
    let status = held[Int(slot)].status
    if status.contains(.isRootChange)
      || (status.contains(.makesGrant) && grants[Int(grant)].isToken)
    {
      return markDirty(grant)
    }
    guard isOpen(grant) else { return }
    if status.contains(.ownFloor) { raiseOwnFloors(slot, of: grant) }
    set(slot, counts: lives(slot, under: grant), evidence: false)
  }

  /// Puts a new changeset's floors on its own grant into force: of what counts only what is older
  /// than them has to be looked at.
  private mutating func raiseOwnFloors(_ slot: Slot, of grant: GrantIndex) {
    guard carriesValidOwnFloors(slot, of: grant) else { return }
    let scope = held[Int(slot)].scope
    let changeset = held[Int(slot)].box.changeset
    var highest = HybridTime.zero
    for floor in changeset.floors where floor.grant == changeset.under {
      grants[Int(grant)].branches[scope, default: GrantNode.Branch()].own.insert(
        time: floor.time, keep: floor.keep, carrier: changeset.id)
      highest = max(highest, floor.time)
    }
    let bound = TimedSlot(time: highest, slot: rules.floorsAreStrict ? -1 : .max)
    for older in grants[Int(grant)].branches[scope]?.alive.elements(below: bound) ?? []
    where !lives(older.slot, under: grant) {
      set(older.slot, counts: false, evidence: false)
    }
  }

  /// Judges all that is under a grant.
  mutating func judge(_ grant: GrantIndex) {
    let children = grants[Int(grant)].children
    guard isOpen(grant) else {
      for child in children { set(child, counts: false, evidence: false) }
      return
    }
    if grants[Int(grant)].isRoot { chooseSuccessor(of: grant) }
    grants[Int(grant)].above = floorsAbove(grant)
    gatherOwnFloors(of: grant)
    let rivals = livingEnrolments(of: grant)
    for child in children {
      let alive = lives(child, under: grant)
      guard rivals.count > 1, let rank = rivals.firstIndex(of: child) else {
        set(child, counts: alive, evidence: false)
        continue
      }
      // Any two of them prove it: the smallest few are compared, so that who has stolen a token
      // cannot make everyone hold more.
      set(
        child, counts: alive && !rules.rivalsDoNotCount,
        evidence: alive && rank < StateLimits.rivalEnrolments)
    }
  }

  /// Whether nothing voids it but its grant.
  private func lives(_ slot: Slot, under grant: GrantIndex) -> Bool {
    let status = held[Int(slot)].status
    if status.contains(.isRootChange) { return grants[Int(grant)].successor == slot }
    guard survivesAbove(slot, grant) else { return false }
    // A subject's own floors do not void one another: whoever signs later says what stands.
    if status.contains(.ownFloor), rules.ownFloorsSpareOneAnother { return true }
    return voidingOwnFloor(slot, grant) == nil
  }

  func voidingOwnFloor(_ slot: Slot, _ grant: GrantIndex) -> Digest? {
    let box = held[Int(slot)].box
    return grants[Int(grant)].branches[held[Int(slot)].scope]?.own.voiding(
      box.changeset.id, box.changeset.time, rules)
  }

  private func survivesAbove(_ slot: Slot, _ grant: GrantIndex) -> Bool {
    isWithinMembership(slot, grant) && voidingFloorAbove(slot, grant) == nil
  }

  func voidingFloorAbove(_ slot: Slot, _ grant: GrantIndex) -> Digest? {
    let box = held[Int(slot)].box
    return grants[Int(grant)].above.voiding(box.changeset.id, box.changeset.time, rules)
  }

  /// In a slice's scope a cluster counts while it is a member.
  func isWithinMembership(_ slot: Slot, _ grant: GrantIndex) -> Bool {
    let scope = held[Int(slot)].scope
    guard scope != 0 else { return true }
    guard let cluster = grants[Int(grant)].cluster else { return false }
    return isMember(cluster, scope)
  }

  /// Floors on a grant that are signed under a grant above it. On a root version only its successor
  /// puts one: a stolen old root key cannot void anything.
  private func floorsAbove(_ grant: GrantIndex) -> FloorSet {
    var set = FloorSet()
    guard rules.floorsFromAboveBind else { return set }
    let node = grants[Int(grant)]
    if node.isRoot {
      if node.successor >= 0, let change = changeset(node.successor).rootChange {
        set.insert(time: .max, keep: change.keep, carrier: changeset(node.successor).id)
      }
      return set
    }
    for reference in floors[node.id] ?? [] {
      let carrier = held[Int(reference.carrier)]
      guard carrier.status.contains(.counts), bears(carrier.parent, on: grant) else { continue }
      let floor = carrier.box.changeset.floors[Int(reference.index)]
      set.insert(time: floor.time, keep: floor.keep, carrier: carrier.box.changeset.id)
    }
    return set
  }

  /// Its subject may put floors on an own grant, neither the root nor a token may. They bind the scope
  /// that carries them, so that each scope can be compacted in one changeset.
  private mutating func gatherOwnFloors(of grant: GrantIndex) {
    guard grants[Int(grant)].heedsOwnFloors else { return }
    for scope in grants[Int(grant)].branches.keys {
      grants[Int(grant)].branches[scope]?.own = FloorSet()
    }
    for reference in floors[grants[Int(grant)].id] ?? []
    where held[Int(reference.carrier)].parent == grant
      && carriesValidOwnFloors(reference.carrier, of: grant)
    {
      let carrier = held[Int(reference.carrier)]
      let floor = carrier.box.changeset.floors[Int(reference.index)]
      grants[Int(grant)].branches[carrier.scope, default: GrantNode.Branch()].own.insert(
        time: floor.time, keep: floor.keep, carrier: carrier.box.changeset.id)
    }
  }

  private func carriesValidOwnFloors(_ slot: Slot, of grant: GrantIndex) -> Bool {
    rules.ownFloorsBind && grants[Int(grant)].heedsOwnFloors
      && (survivesAbove(slot, grant) || !rules.floorsFromAboveBindOwnFloors)
  }

  /// Of a token: enrolments that no floor voids, ascending by ID. Several: none counts until one is
  /// sealed.
  func livingEnrolments(of grant: GrantIndex) -> [Slot] {
    guard grants[Int(grant)].isToken else { return [] }
    return grants[Int(grant)].makers.filter { survivesAbove($0, grant) }
      .sorted { changeset($0).id < changeset($1).id }
  }

  /// Of several successors of a root version the one with the smallest ID.
  private mutating func chooseSuccessor(of grant: GrantIndex) {
    var best: Slot = -1
    for slot in grants[Int(grant)].makers where held[Int(slot)].status.contains(.isRootChange) {
      if best < 0 || changeset(slot).id < changeset(best).id { best = slot }
    }
    grants[Int(grant)].successor = best
  }

  /// Root changes of one version besides the one in force.
  func losingSuccessors(of grant: GrantIndex) -> [Slot] {
    let node = grants[Int(grant)]
    guard node.isRoot, node.successor >= 0 else { return [] }
    return node.makers.filter {
      $0 != node.successor && held[Int($0)].status.contains(.isRootChange)
    }
  }

  /// The carrier of a floor above all time on a grant: put by a grantor, or by its subject for all.
  func revocation(_ grant: GrantIndex) -> Digest? {
    grants[Int(grant)].above.end ?? grants[Int(grant)].branches[0]?.own.end
  }

  /// Whether something new under a grant can count.
  func isUsable(_ grant: GrantIndex) -> Bool {
    grants[Int(grant)].isLive && revocation(grant) == nil
  }

  /// `nil` where it counts.
  func reason(_ slot: Slot, scopes: [Scope]) -> NotCounting? {
    let entry = held[Int(slot)]
    if entry.status.contains(.counts) { return nil }
    let node = grants[Int(entry.parent)]
    if !node.isLive { return .grantVoid(grant: node.id) }
    if !isWithinMembership(slot, entry.parent), case .slice(let name) = scopes[Int(entry.scope)] {
      return .notMember(slice: name, cluster: node.cluster ?? "")
    }
    if entry.status.contains(.isRootChange) || node.isRoot, node.successor >= 0 {
      return .rootChanged(by: changeset(node.successor).id)
    }
    if let floor = voidingFloorAbove(slot, entry.parent) ?? voidingOwnFloor(slot, entry.parent) {
      return .void(floor: floor)
    }
    return .rivalEnrolment(token: node.id)
  }
}
