internal import Base

/// What anti-entropy knows of one scope: the set held, who else holds it, and who seems to differ.
struct ScopeState: Sendable {
  /// A peer whose digest differed when last seen.
  struct Mismatch: Sendable {
    var since: Instant
    /// When to do something about it, unless the digests agree by then.
    var due: Instant
    var remote: SetDigest
  }

  /// How earlier sessions with a peer went, while they left something to do.
  struct History: Sendable {
    var attempts = 0
    var local: SetDigest
    var remote: SetDigest?
    var notBefore: Instant
    /// A sketch failed, or did not bring the sets together.
    var preferRanges = false
  }

  /// Differing peers remembered at a time: more would not be served sooner.
  static let mismatchLimit = 64
  /// Words asked for and not delivered yet, over all peers.
  static let requestedLimit = 65_536

  var index = ScopeIndex()
  /// Without ourselves.
  private(set) var members = Holders()
  var mismatches: [NodeID: Mismatch] = [:]
  var histories: [NodeID: History] = [:]
  /// What some peer is to deliver, and until when we count on it.
  private var requested: [UInt64: Instant] = [:]
  var lastChange: Instant
  var nextCheck: Instant

  init(now: Instant, nextCheck: Instant) {
    lastChange = now
    self.nextCheck = nextCheck
  }

  func isMember(_ peer: NodeID) -> Bool {
    members.contains(peer)
  }

  mutating func insert(_ peer: SyncPeer) { members.insert(peer) }

  mutating func remove(_ peer: NodeID) {
    members.remove(peer)
    mismatches[peer] = nil
    histories[peer] = nil
  }

  mutating func setMembers(_ holders: Holders) {
    members = holders
    mismatches = mismatches.filter { isMember($0.key) }
    histories = histories.filter { isMember($0.key) }
  }

  /// Of these words, those that nobody else is about to deliver; they count as asked for from now on.
  mutating func claim(_ words: [UInt64], until: Instant, now: Instant) -> [UInt64] {
    words.filter { word in
      if let expiry = requested[word], expiry > now { return false }
      if requested.count < Self.requestedLimit { requested[word] = until }
      return true
    }
  }

  mutating func release(_ word: UInt64) {
    requested[word] = nil
  }

  mutating func expireRequested(_ now: Instant) {
    guard !requested.isEmpty else { return }
    requested = requested.filter { $0.value > now }
  }
}
