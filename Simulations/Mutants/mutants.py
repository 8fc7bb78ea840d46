"""Planted bugs: each must be caught by some invariant of the swarm.

An entry is (name, file, text, replacement); `MUTANT` in the replacement is a condition that is true
where this bug is the active one, and the text has to occur exactly once. Nothing of this is in the
sources: `run.py` applies all of them to a copy.
"""

EVIDENCE = "Sources/Membership/Evidence.swift"
RULES = "Sources/Replication/State/CountingRules.swift"
STATE = "Sources/Replication/State/ReplicatedState.swift"
ADMISSION = "Sources/Replication/State/Admission.swift"
REGISTERS = "Sources/Replication/State/RegisterIndex.swift"
SESSIONS = "Sources/Replication/AntiEntropy/AntiEntropySessions.swift"
SCHEDULE = "Sources/Replication/AntiEntropy/AntiEntropySchedule.swift"
PUSH = "Sources/Replication/Dissemination/Dissemination.swift"
FAULTS = "Simulations/Simulator/Faults.swift"
WORLD = "Simulations/Simulator/Transport.swift"


def rule(name):
    """One rule of counting is off."""
    return (f"state: {name} is off", RULES, "init() {}", f"init() {{\n    if MUTANT {{ {name} = false }}\n//NEXT\n  }}")


MUTANTS = [
    rule("keepListsSpare"),
    rule("floorsFromAboveBind"),
    rule("contextsCover"),
    rule("coveringNeedsAuthor"),
    (
        "state: any signature will do", ADMISSION,
        "guard changeset.endorsements.count == 1,\n        !validSigners",
        "guard changeset.endorsements.count == 1,\n        MUTANT || !validSigners",
    ),
    (
        "state: anybody may write under a grant", STATE,
        "guard root?.keys.contains(changeset.author) ??",
        "guard MUTANT || root?.keys.contains(changeset.author) ??",
    ),
    (
        "state: the root's signature is not looked at", ADMISSION,
        "guard !signers.isEmpty else { return .badSignature }",
        "if MUTANT { return nil }\n    guard !signers.isEmpty else { return .badSignature }",
    ),
    (
        "state: a removed changeset stays in the digest", REGISTERS,
        "      scopes[table].digest.remove(changeset.id)\n",
        "      if !MUTANT { scopes[table].digest.remove(changeset.id) }\n",
    ),
    (
        "state: a changed value stays in the view", REGISTERS,
        "      scopes[table].view.subtract(record.share)\n",
        "      if !MUTANT { scopes[table].view.subtract(record.share) }\n",
    ),
    (
        "state: the first value that came is in force", REGISTERS,
        "    return live.sorted {\n",
        "    if MUTANT { return live }\n    return live.sorted {\n",
    ),
    (
        "state: what comes from the future waits an hour longer", ADMISSION,
        "      return hold(changeset, until, .future)",
        "      return hold(changeset, until + (MUTANT ? 3_600_000 : 0), .future)",
    ),
    (
        "storage: deletions are not stored", STATE,
        "      changes.toStore.append(changeset)",
        "      if !MUTANT || changeset.writes.first?.value != nil { changes.toStore.append(changeset) }",
    ),
    (
        "storage: acknowledged before it is durable", WORLD,
        "    case .store(let changesets): write(changesets, on: machine)",
        "    case .store(let changesets):\n      if MUTANT { queue.add(.script { $0.handle(.stored(changesets.map(\\.id)), at: machine.index) }, for: machine.index, at: now) } else { write(changesets, on: machine) }",
    ),
    (
        "storage: a boot epoch is used twice", FAULTS,
        "    machine.configuration.bootEpoch = machine.disk.bootEpoch\n",
        "    if !MUTANT { machine.configuration.bootEpoch = machine.disk.bootEpoch }\n",
    ),
    (
        "membership: a forged record counts", EVIDENCE,
        "guard new.isSigned(by: key, clusterSet: identity.clusterSet, crypto: crypto) else {\n      return reject(.badSignature, from: sender, &effects)\n    }\n    accept(",
        "guard MUTANT || new.isSigned(by: key, clusterSet: identity.clusterSet, crypto: crypto) else {\n      return reject(.badSignature, from: sender, &effects)\n    }\n    accept(",
    ),
    (
        "membership: a stale record counts", EVIDENCE,
        "guard new.incarnation > known.incarnation else {\n        correct(sender, about: slot",
        "guard MUTANT || new.incarnation > known.incarnation else {\n        correct(sender, about: slot",
    ),
    (
        "membership: an accused member does not refute", EVIDENCE,
        "    guard !isLeaving else { return false }\n    guard let key = key(of: accusation.accuser)",
        "    guard !isLeaving, !MUTANT else { return false }\n    guard let key = key(of: accusation.accuser)",
    ),
    (
        "membership: one accuser is enough", "Sources/Membership/Suspicion.swift",
        "    if count < needed || isDegraded(slot) { return high }\n",
        "    if MUTANT { return .milliseconds(1) }\n    if count < needed || isDegraded(slot) { return high }\n",
    ),
    (
        "membership: the dead are not probed", "Sources/Membership/Healing.swift",
        "    if table.count(.dead) > 0,",
        "    if !MUTANT, table.count(.dead) > 0,",
    ),
    (
        "membership: views are not compared", "Sources/Membership/Synchronising.swift",
        "    guard view != table.view else {",
        "    guard !MUTANT, view != table.view else {",
    ),
    (
        "anti-entropy: every digest looks equal", SCHEDULE,
        "    if remote == state.index.digest {",
        "    if MUTANT || remote == state.index.digest {",
    ),
    (
        "anti-entropy: deliveries are not taken", SESSIONS,
        "    if !wanted.isEmpty {\n      let few",
        "    if !wanted.isEmpty, !MUTANT {\n      let few",
    ),
    (
        "anti-entropy: a removed changeset stays in the sketch", "Sources/Replication/AntiEntropy/AntiEntropy.swift",
        "    for id in removed { scopes[scope]?.index.remove(id) }",
        "    if !MUTANT { for id in removed { scopes[scope]?.index.remove(id) } }",
    ),
    (
        "dissemination: duplicates are sent on", PUSH,
        "      if recent.contains(changeset.id) || source.changeset(changeset.id) != nil {",
        "      if MUTANT { for peer in neighbours(changeset.scope) { _ = push([changeset], to: peer, now: now, effects: &effects) } }\n      if recent.contains(changeset.id) || source.changeset(changeset.id) != nil {",
    ),
    (
        "dissemination: everything goes by datagram", PUSH,
        "reliable: size > SyncLimits.datagramBytes))",
        "reliable: !MUTANT && size > SyncLimits.datagramBytes))",
    ),
    (
        "peer: changed trust is not followed", "Sources/Peer/PeerMembership.swift",
        "    adopt(Groundwork.admission(state, crypto, known: admitted), now",
        "    if MUTANT { return }\n    adopt(Groundwork.admission(state, crypto, known: admitted), now",
    ),
    (
        "membership: what the expelled said stands", "Sources/Membership/Suspicion.swift",
        "    for slot in cases.map(\\.slot) {",
        "    for slot in MUTANT ? [] : cases.map(\\.slot) {",
    ),
    (
        "addresses: a block that another holds is active too", "Sources/Slices/View/SliceResolver.swift",
        "        if let holder = holders[index], holder != member.cluster {",
        "        if !MUTANT, let holder = holders[index], holder != member.cluster {",
    ),
    (
        "addresses: endpoints outside their block are believed", "Sources/Slices/View/ExportResolver.swift",
        "        if overlay == SliceOverlay.none || member.block?.contains(endpoint.address) == true {",
        "        if MUTANT || overlay == SliceOverlay.none || member.block?.contains(endpoint.address) == true {",
    ),
    (
        "dns: whether a cluster can be reached is not asked", "Sources/Slices/View/EndpointSelection.swift",
        "    let reachable = serving.filter { reachability.canReach($0) }",
        "    let reachable = serving.filter { MUTANT || reachability.canReach($0) }",
    ),
    (
        "dns: names are not made anew when clusters go", "Sources/Naming/Reconcile/DNSReconciler.swift",
        "        old.reachability == sources.reachability",
        "        MUTANT || old.reachability == sources.reachability",
    ),
    (
        "slices: the view does not follow exports", "Sources/Slices/View/ClustersetView.swift",
        "drafts[name]?.update(exports: paths, from: source) }",
        "if !MUTANT { drafts[name]?.update(exports: paths, from: source) } }",
    ),
    (
        "tunnel: packets are accepted twice", "Sources/Tunnel/ReplayWindow.swift",
        "    return seen[Self.word(counter)] & Self.bit(counter) == 0",
        "    return MUTANT || seen[Self.word(counter)] & Self.bit(counter) == 0",
    ),
    (
        "tunnel: a counter is handed out twice", "Sources/Tunnel/TransmitTable.swift",
        "    lanes[state].next += UInt64(segments)",
        "    if !MUTANT || lanes[state].next % 100 != 99 { lanes[state].next += UInt64(segments) }",
    ),
    (
        "tunnel: the epoch before goes at once", "Sources/Tunnel/EpochMachine.swift",
        "    let grace = max(timing.previousEpochLeast, probeTimeout * 3)",
        "    let grace = MUTANT ? Duration.zero : max(timing.previousEpochLeast, probeTimeout * 3)",
    ),
    (
        "kubernetes: what a new list does not name stays", "Sources/Kubernetes/Watch/WatchMachine.swift",
        "      let isComplete = listed.allSatisfy { store[$0] != nil }",
        "      if MUTANT { listed.formUnion(store.keys) }\n"
        "      let isComplete = listed.allSatisfy { store[$0] != nil }",
    ),
    (
        "kubernetes: a version that is gone is watched from again", "Sources/Kubernetes/Watch/WatchMachine.swift",
        "    wait(then: .list, now: now)\n  }\n\n  private mutating func notServed",
        "    wait(then: MUTANT ? .watch : .list, now: now)\n  }\n\n  private mutating func notServed",
    ),
    (
        "kubernetes: failures are not waited for", "Sources/Kubernetes/Watch/Backoff.swift",
        "    let doublings = min(failures, 20)",
        "    if MUTANT { return .milliseconds(10) }\n    let doublings = min(failures, 20)",
    ),
    (
        "kubernetes: a deletion within a watch is passed over", "Sources/Kubernetes/Watch/WatchMachine.swift",
        "      if store.remove(object.key) != nil { changed.insert(object.key) }",
        "      if !MUTANT, store.remove(object.key) != nil { changed.insert(object.key) }",
    ),
]
