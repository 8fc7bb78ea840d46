import Base

/// Repairing views from one another. Every ping carries a digest of the sender's view; where two
/// views stay different, the members exchange 64 bucket digests, then what is in the differing
/// buckets, then only the records that one of them lacks. It is how a new member learns the rest,
/// and why nothing depends on a lost datagram.
struct SyncState: Sendable {
  /// Whom we asked, and until when its summaries are expected.
  var partner: NodeID?
  var expires: Instant = .zero
  /// No request before.
  var due: Instant = .zero
  /// Grows while requests bring nothing new.
  var period: Duration
  /// Members whose standing changed since the last request: with many at once, be it a storm, an
  /// outage or a healed partition, gossip alone is slow and something is always under way.
  var changes = 0
  static let turmoil = 4
  /// When the view last changed: right after, differences are normal and gossip is on its way.
  var lastChange: Instant = .zero
  /// How often the present request was redirected.
  var redirects = 0
  /// How many we served in the second that began at `window`.
  var served = 0
  var window: Instant = .zero
  /// Records given out: bounds what a greedy or lying member can make us send.
  var records = RateLimit(burst: 4096, perSecond: 256)

  init(period: Duration) {
    self.period = period
  }

  mutating func changed(_ now: Instant) {
    lastChange = now
    changes += 1
  }
}

extension Membership {
  /// How long after its start a member asks eagerly.
  static let youth: Duration = .seconds(20)
  /// Times that a request follows a redirection; the next comes with the next differing view.
  static let redirectsFollowed = 2

  // MARK: Asking

  mutating func compare(
    view: UInt32, with slot: Int32, now: Instant, _ effects: inout [Effect]
  ) {
    guard view != table.view else {
      sync.period = configuration.syncPeriodMinimum
      return
    }
    guard now >= sync.due, !isLeaving else { return }
    // A newcomer asks at once and often; others when gossip has had its time, or in turmoil.
    let isYoung = now - started < Self.youth && table.count(.unknown) > 0
    let isEager = isYoung || sync.changes >= SyncState.turmoil
    guard isEager || now - sync.lastChange > configuration.syncPeriodMinimum else { return }
    requestSync(with: slot, now: now, &effects)
    (sync.changes, sync.redirects) = (0, 0)
    sync.due = now + (isEager ? .milliseconds(500) : sync.period) + jitter(upTo: .milliseconds(250))
    if !isEager {
      sync.period = min(sync.period * 2, configuration.syncPeriodMaximum)
    }
  }

  private mutating func requestSync(with slot: Int32, now: Instant, _ effects: inout [Effect]) {
    sync.partner = table.id(slot)
    sync.expires = now + .seconds(30)
    effects.append(.sendStream(to: table.id(slot), .syncRequest(buckets: table.buckets)))
  }

  // MARK: Serving

  mutating func receive(
    sync message: Message, from sender: NodeID, _ slot: Int32, now: Instant,
    _ effects: inout [Effect]
  ) {
    if now - sync.window >= .seconds(1) {
      (sync.window, sync.served) = (now, 0)
    }
    switch message {
    case .syncRequest(let buckets) where buckets.count == Self.bucketCount:
      serve(buckets, to: sender, &effects)
    case .syncSummary(let summary) where summary.members.count <= Self.summaryLimit:
      settle(summary, with: sender, now: now, &effects)
    case .syncWant(let prefixes) where prefixes.count <= Self.wantLimit:
      give(
        prefixes.compactMap { table.slot(prefix: $0) }, own: prefixes.contains(id.words.0),
        to: sender, now: now, &effects)
    case .syncRecords(let records)
    where records.evidence.count <= Self.syncEvidenceLimit
      && records.coordinates.count <= Self.syncEvidenceLimit:
      learn(records, from: sender, now: now, &effects)
    case .syncRedirect(let others) where others.count <= Self.redirectLimit:
      guard sync.partner == sender, sync.redirects < Self.redirectsFollowed else { break }
      sync.redirects += 1
      let known = others.compactMap { table.slot(of: $0) }.filter { $0 != slot }
      if let other = known.randomElement(using: &rng) {
        requestSync(with: other, now: now, &effects)
      }
    default: effects.append(.event(.rejected(from: sender, .overLimit)))
    }
  }

  private mutating func serve(
    _ buckets: [UInt32], to sender: NodeID, _ effects: inout [Effect]
  ) {
    guard sync.served < configuration.syncsPerSecond else {
      let others = table.sample(Self.redirectLimit, using: &rng).map { table.id($0) }
      effects.append(.sendStream(to: sender, .syncRedirect(others.filter { $0 != sender })))
      return
    }
    sync.served += 1
    var summary = SyncSummary(buckets: 0, members: [])
    for bucket in 0..<Self.bucketCount where buckets[bucket] != table.buckets[bucket] {
      let entries = entries(inBucket: bucket)
      if summary.members.count + entries.count > Self.summaryLimit, summary.buckets != 0 {
        effects.append(.sendStream(to: sender, .syncSummary(summary)))
        summary = SyncSummary(buckets: 0, members: [])
      }
      summary.buckets |= 1 << UInt64(bucket)
      summary.members += entries.prefix(Self.summaryLimit)
    }
    if summary.buckets != 0 { effects.append(.sendStream(to: sender, .syncSummary(summary))) }
  }

  /// All that we know in a bucket, ourselves included, in the order of ids.
  private func entries(inBucket bucket: Int) -> [SyncSummary.Entry] {
    var out: [SyncSummary.Entry] = table.slots(inBucket: bucket).compactMap { slot in
      let row = table[slot]
      guard let record = row.record, let standing = row.state.standing else { return nil }
      return .init(
        prefix: record.subject.words.0, incarnation: record.incarnation, standing: standing)
    }
    if MemberTable.bucket(of: id.words.0) == bucket {
      let own = SyncSummary.Entry(
        prefix: id.words.0, incarnation: record.incarnation,
        standing: record.presence == .alive ? .alive : .left)
      out.insert(own, at: out.firstIndex { $0.prefix > own.prefix } ?? out.count)
    }
    return out
  }

  // MARK: Settling

  /// Compares the partner's buckets with ours: asks for what is newer there, gives what is newer
  /// here.
  private mutating func settle(
    _ summary: SyncSummary, with sender: NodeID, now: Instant, _ effects: inout [Effect]
  ) {
    guard sync.partner == sender, now < sync.expires else {
      effects.append(.event(.rejected(from: sender, .unexpectedAnswer)))
      return
    }
    var theirs: [UInt64: SyncSummary.Entry] = [:]
    for entry in summary.members { theirs[entry.prefix] = entry }
    var wanted: [UInt64] = []
    var given: [Int32] = []
    var giveOwn = false
    for bucket in 0..<Self.bucketCount where summary.buckets >> UInt64(bucket) & 1 == 1 {
      for mine in entries(inBucket: bucket) {
        guard let their = theirs.removeValue(forKey: mine.prefix) else {
          if mine.prefix == id.words.0 { giveOwn = true } else { note(mine.prefix, &given) }
          continue
        }
        if their.isNewer(than: mine) {
          wanted.append(mine.prefix)
        } else if mine.isNewer(than: their) {
          if mine.prefix == id.words.0 { giveOwn = true } else { note(mine.prefix, &given) }
        }
      }
    }
    // What is left over we have no record of; in the order in which it came.
    for entry in summary.members where theirs[entry.prefix] != nil {
      if table.slot(prefix: entry.prefix) != nil { wanted.append(entry.prefix) }
    }
    give(given, own: giveOwn, to: sender, now: now, &effects)
    for start in stride(from: 0, to: wanted.count, by: Self.wantLimit) {
      let end = min(start + Self.wantLimit, wanted.count)
      effects.append(.sendStream(to: sender, .syncWant(prefixes: Array(wanted[start..<end]))))
    }
  }

  private func note(_ prefix: UInt64, _ slots: inout [Int32]) {
    if let slot = table.slot(prefix: prefix) { slots.append(slot) }
  }

  private mutating func give(
    _ slots: [Int32], own: Bool, to sender: NodeID, now: Instant, _ effects: inout [Effect]
  ) {
    var records = SyncRecords(evidence: own ? [.record(record)] : [], coordinates: [])
    for slot in slots {
      guard let known = table[slot].record else { continue }
      guard sync.records.take(now: now) else {
        effects.append(.event(.rejected(from: sender, .tooBusy)))
        break
      }
      let against = accusations(against: slot).prefix(configuration.accuserThreshold)
      if records.evidence.count + 1 + against.count > Self.syncEvidenceLimit {
        effects.append(.sendStream(to: sender, .syncRecords(records)))
        records = SyncRecords(evidence: [], coordinates: [])
      }
      records.evidence.append(.record(known))
      records.evidence += against.map { .accusation($0) }
      let place = table[slot].coordinate
      if place.isKnown {
        records.coordinates.append(.init(prefix: known.subject.words.0, coordinate: place))
      }
    }
    if !records.evidence.isEmpty { effects.append(.sendStream(to: sender, .syncRecords(records))) }
  }

  private mutating func learn(
    _ records: SyncRecords, from sender: NodeID, now: Instant, _ effects: inout [Effect]
  ) {
    var learned = 0
    for evidence in records.evidence
    where apply(evidence, from: sender, by: .sync, now: now, &effects) { learned += 1 }
    for hint in records.coordinates { learn(hint) }
    if learned > 0 { sync.period = configuration.syncPeriodMinimum }
    effects.append(.event(.synchronised(with: sender, learned: learned)))
  }
}

extension Membership.SyncSummary.Entry {
  func isNewer(than other: Self) -> Bool {
    if incarnation != other.incarnation { return incarnation > other.incarnation }
    return standing.rawValue > other.standing.rawValue
  }
}
