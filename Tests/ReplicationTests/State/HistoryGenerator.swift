import Base

@testable import Replication

/// Builds random histories with real capabilities, scopes, memberships, tokens and root changes, by
/// authors of whom some lie about time, look at nothing before they write, or have no right at all.
struct HistoryGenerator {
  /// A key and a grant that it may act under, or thinks it may.
  private struct Handle {
    var author: Author
    var grant: Digest
    var capabilities: [Capability]
  }

  /// What a write holds that its author may not write: nobody must ever see it.
  static let forbidden = Value.string("forbidden")

  static let genesis = Fake.genesis()
  private static let names = ["admin", "deputy", "team", "token", "eu-1", "eu-2", "us-1"]
  private static let clustersetPaths = [
    "cluster/eu", "cluster/us", "cluster/eu/info", "slice/blue", "slice/red/qos",
    "slice/blue/member/eu", "slice/blue/member/us",
  ]
  private static let slicePaths = [
    "slice/blue/gateway/eu", "slice/blue/export/us/shop/web", "slice/blue/export/eu/shop/web",
  ]

  var rng: SeededGenerator
  var states: [ReplicatedState]
  private(set) var made: [Changeset] = []
  private var handles: [Handle]
  private var rootVersions: [Digest] = [genesis.id]
  private var step: UInt64 = 0
  /// Kept from call to call: what states say is not looked at here.
  private var changes = StateChanges()

  init(seed: UInt64) {
    rng = SeededGenerator(seed: seed)
    states = (0..<Int.random(in: 2...4, using: &rng)).map { _ in
      ReplicatedState(genesis: Self.genesis, crypto: Fake.crypto)
    }
    let root = Author("root", in: Self.genesis)
    handles = [Handle(author: root, grant: Self.genesis.id, capabilities: [.grant, .admit])]
    if chance(0.8) { found(by: root) }
  }

  /// Most histories begin the way a ClusterSet does, so that what follows is often authorised.
  private mutating func found(by root: Author) {
    let admin = root.grant(
      Fake.key("admin"), [.grant, .admit, .slice("*")], under: Self.genesis.id, at: 1_000, depth: 2)
    publish(admin, at: 0)
    let author = Author("admin", in: Self.genesis)
    for (peer, cluster) in [("eu-1", "eu"), ("us-1", "us")] {
      publish(author.grant(Fake.key(peer), [.own(cluster)], under: admin.id, at: 1_000), at: 0)
      for path in ["cluster/\(cluster)", "slice/blue/member/\(cluster)"] {
        publish(author.write(path, 0, in: states[0], under: admin.id, at: 1_000), at: 0)
      }
    }
    guard chance(0.3) else { return }
    let token = author.grant(Fake.key("token"), [.enrol("eu")], under: admin.id, at: 1_000)
    publish(token, at: 0)
    for peer in ["eu-2", "us-1"] where chance(0.7) {
      publish(
        Author("token", in: Self.genesis).grant(
          Fake.key(peer), [.own("eu")], under: token.id, at: 1_001), at: 0)
    }
  }

  mutating func chance(_ probability: Double) -> Bool {
    Double.random(in: 0..<1, using: &rng) < probability
  }

  private mutating func pick<T>(_ items: [T]) -> T {
    items[Int.random(in: 0..<items.count, using: &rng)]
  }

  /// One more event; `check` sees each state that may have changed.
  mutating func advance(check: (ReplicatedState) -> Void = { _ in }) {
    step += 1
    let place = Int.random(in: 0..<states.count, using: &rng)
    let kind = Double.random(in: 0..<1, using: &rng)
    if kind < 0.2 {
      makeGrant(at: place)
    } else if kind < 0.35 {
      makeFloor(at: place)
    } else if kind < 0.38 {
      makeRootChange(at: place)
    } else {
      makeWrites(at: place)
    }
    if chance(0.2) { sync(place, Int.random(in: 0..<states.count, using: &rng)) }
    for state in states { check(state) }
  }

  private mutating func time() -> UInt64 {
    1_001 + (chance(0.75) ? step : UInt64.random(in: 0...60, using: &rng))
  }

  private mutating func publish(_ changeset: Changeset, at place: Int) {
    made.append(changeset)
    if let grant = changeset.grant {
      for name in Self.names where Fake.key(name) == grant.subject {
        handles.append(
          Handle(
            author: Author(name, in: Self.genesis), grant: changeset.id,
            capabilities: grant.capabilities))
      }
    }
    for i in states.indices where i == place || chance(0.3) { give(changeset, to: i) }
  }

  private mutating func give(_ changeset: Changeset, to place: Int) {
    changes = StateChanges()
    _ = states[place].ingest(changeset, now: Fake.now, changes: &changes)
  }

  // MARK: Events

  private mutating func makeGrant(at place: Int) {
    let handle = pick(handles)
    let menu: [[Capability]] = [
      [.slice("*")], [.slice("blue*")], [.grant, .slice("*")], [.grant, .admit, .slice("*")],
      [.admit], [.own("eu")], [.own("us")], [.enrol("eu")], [.enrol("us")], [.read],
    ]
    var capabilities = pick(menu)
    for case .enrol(let cluster) in handle.capabilities where chance(0.8) {
      capabilities = [.own(cluster)]
    }
    let end = chance(0.1) ? UInt64.random(in: 1_000...1_060, using: &rng) : nil
    publish(
      handle.author.grant(
        Fake.key(pick(Self.names)), capabilities, under: handle.grant, at: time(), notAfter: end,
        depth: chance(0.5) ? 0 : Int.random(in: 0...3, using: &rng)), at: place)
  }

  private mutating func makeFloor(at place: Int) {
    let grants = made.filter { $0.grant != nil }
    guard !grants.isEmpty else { return }
    let target = pick(grants)
    let below = states[place].heldChangesets.filter { $0.under == target.id }
    let keep = below.map(\.id).filter { _ in chance(0.5) }
    let own = handles.filter { $0.grant == target.id }
    let above = handles.filter { $0.grant == target.under }
    let candidates = chance(0.1) ? handles : (chance(0.4) ? own : above)
    guard !candidates.isEmpty else { return }
    let handle = pick(candidates)
    let isOwn = handle.grant == target.id
    let end = chance(0.5) ? nil : UInt64.random(in: 1_000...1_060, using: &rng)
    publish(
      handle.author.floor(
        target.id, below: end, keep: chance(0.3) ? [] : keep, under: handle.grant, at: time(),
        scope: isOwn && chance(0.5) ? .slice("blue") : .clusterset), at: place)
  }

  private mutating func makeRootChange(at place: Int) {
    let version = chance(0.8) ? rootVersions[rootVersions.count - 1] : pick(rootVersions)
    guard let handle = handles.first(where: { $0.grant == version }) else { return }
    let keep = states[place].heldChangesets
      .filter { $0.under == version && $0.rootChange == nil }.map(\.id)
      .filter { _ in chance(0.85) }
    let next = "root\(rootVersions.count)"
    let changeset = handle.author.make(
      under: version, at: time(), cosigners: chance(0.9) ? [Fake.key(next)] : []
    ) {
      $0.rootChange = RootChange(
        root: RootKeys(keys: [Fake.key(next)], threshold: 1), keep: keep.sorted())
    }
    if changeset.endorsements.count == 2 {
      rootVersions.append(changeset.id)
      handles.append(
        Handle(
          author: Author(next, in: Self.genesis), grant: changeset.id,
          capabilities: [.grant, .admit]))
    }
    publish(changeset, at: place)
  }

  private mutating func makeWrites(at place: Int) {
    var handle = pick(handles)
    // Some act under what is not theirs, or with a key that nobody knows.
    if chance(0.05) { handle.author = Author("mallory", in: Self.genesis) }
    if chance(0.05) { handle.grant = pick(handles).grant }
    let isOwn = handle.capabilities.contains { if case .own = $0 { true } else { false } }
    let scope: Scope = isOwn && chance(0.7) ? .slice("blue") : .clusterset
    var paths = scope == .clusterset ? Self.clustersetPaths : Self.slicePaths
    paths.shuffle(using: &rng)
    paths = paths.filter { _ in chance(0.8) }
    if chance(0.9) {
      let allowed = paths.filter { Self.isAllowed($0, scope, handle.capabilities) }
      if !allowed.isEmpty { paths = allowed }
    }
    guard !paths.isEmpty else { return }
    paths = Array(paths.prefix(Int.random(in: 1...2, using: &rng)))
    let isTheirs = handle.author.key == subject(of: handle.grant)
    let isAllowed =
      isTheirs && paths.allSatisfy { Self.isAllowed($0, scope, capabilities(of: handle.grant)) }
    let value: Value? =
      isAllowed ? (chance(0.25) ? nil : .integer(Int64(step))) : Self.forbidden
    var writes: [Write] = []
    for path in paths {
      var context = states[place].register(path, scope: scope)?.context ?? VersionVector()
      if chance(0.15) {
        let seen = context.entries.filter { _ in chance(0.5) }
        context = VersionVector(sorted: seen) ?? VersionVector()
      }
      Write(path: path, value: value, author: handle.author.key, after: context)
        .map { writes.append($0) }
    }
    publish(
      handle.author.make(under: handle.grant, at: time(), scope: scope, nonce: step) {
        $0.writes = writes
      }, at: place)
  }

  /// What a changeset says its grant allows, told in another way than the core does.
  static func isAllowed(_ path: String, _ scope: Scope, _ capabilities: [Capability]) -> Bool {
    let parts = path.split(separator: "/").map(String.init)
    if scope != .clusterset { return capabilities.contains(.own(parts[3])) }
    if parts[0] == "cluster" {
      return capabilities.contains(parts.count == 2 ? .admit : .own(parts[1]))
    }
    return capabilities.contains {
      switch $0 {
      case .slice("*"): true
      case .slice("blue*"): parts[1].hasPrefix("blue")
      default: false
      }
    }
  }

  private func capabilities(of grant: Digest) -> [Capability] {
    if rootVersions.contains(grant) { return [.grant, .admit, .slice("*")] }
    return made.first { $0.id == grant }?.grant?.capabilities ?? []
  }

  private func subject(of grant: Digest) -> PublicKey? {
    if let version = rootVersions.firstIndex(of: grant) {
      return Fake.key(version == 0 ? "root" : "root\(version)")
    }
    return made.first { $0.id == grant }?.grant?.subject
  }

  // MARK: Anti-entropy

  mutating func sync(_ a: Int, _ b: Int) {
    guard a != b else { return }
    for scope in Set(states[a].scopes + states[b].scopes).sorted() {
      let first = Set(states[a].compared(scope))
      let second = Set(states[b].compared(scope))
      for id in second.subtracting(first).sorted() {
        if let changeset = states[b].changeset(id) { give(changeset, to: a) }
      }
      for id in first.subtracting(second).sorted() {
        if let changeset = states[a].changeset(id) { give(changeset, to: b) }
      }
    }
  }

  static let scopes: [Scope] = [.clusterset, .slice("blue")]

  var isSettled: Bool {
    states.dropFirst().allSatisfy { state in
      Self.scopes.allSatisfy { state.compared($0) == states[0].compared($0) }
    }
  }

  /// Rounds of pairwise synchronisation until all compared sets are equal; `nil`: they never are.
  mutating func settle(limit: Int = 60) -> Int? {
    for round in 0..<limit {
      if isSettled { return round }
      for a in states.indices { for b in 0..<a { sync(a, b) } }
    }
    return nil
  }
}
