internal import Base

/// What a session still wants from the other side: several requests under way at a time, each answer
/// making room for the next, so that the receiving side sets the pace.
struct FetchQueue: Sendable {
  /// Requests under way.
  static let pipeline = 8
  /// Names kept to be asked for; what is above is left to the next session.
  static let pendingLimit = 65_536
  /// A range with more than this left is divided and fetched in parallel.
  static let divideAbove = 1_024
  /// Ranges kept to be asked for.
  static let rangeLimit = 4_096

  struct Request: Sendable {
    var want: Want.Part
    var deadline: Instant
    var attempts: Int

    var isTrust: Bool {
      if case .trust = want { true } else { false }
    }
  }

  private var words: [UInt64] = []
  private var ids: [Digest] = []
  private var ranges: [(range: RangePrefix, after: Digest?)] = []
  private var trust: Int?
  /// Keyed by request number.
  private(set) var underWay: [UInt32: Request] = [:]
  private var nextRequest: UInt32

  init(firstRequest: UInt32) {
    nextRequest = firstRequest
  }

  var isEmpty: Bool { underWay.isEmpty && !hasPending }

  private var hasPending: Bool {
    trust != nil || !words.isEmpty || !ids.isEmpty || !ranges.isEmpty
  }

  mutating func add(words more: [UInt64]) {
    words.append(contentsOf: more.prefix(max(0, Self.pendingLimit - words.count)))
  }

  mutating func add(ids more: [Digest]) {
    ids.append(contentsOf: more.prefix(max(0, Self.pendingLimit - ids.count)))
  }

  mutating func add(range: RangePrefix) {
    if ranges.count < Self.rangeLimit { ranges.append((range, nil)) }
  }

  mutating func addTrust() {
    trust = 0
  }

  /// The next request to send, `nil` where there is none or enough are under way.
  mutating func next(deadline: Instant) -> (UInt32, Want.Part)? {
    // Grants first and alone: what they authorise is judged as it comes.
    guard underWay.count < Self.pipeline, !underWay.values.contains(where: \.isTrust),
      let part = nextPart()
    else { return nil }
    let number = nextRequest
    nextRequest &+= 1
    underWay[number] = Request(want: part, deadline: deadline, attempts: 1)
    return (number, part)
  }

  private mutating func nextPart() -> Want.Part? {
    if let from = trust {
      guard underWay.isEmpty else { return nil }
      trust = nil
      return .trust(from: from)
    }
    if !words.isEmpty {
      let batch = Array(words.prefix(SyncLimits.wantedNames))
      words.removeFirst(batch.count)
      return .names(.words(batch))
    }
    if !ids.isEmpty {
      let batch = Array(ids.prefix(SyncLimits.wantedNames))
      ids.removeFirst(batch.count)
      return .names(.ids(batch))
    }
    return ranges.popLast().map { .range($0.range, after: $0.after) }
  }

  /// Takes an answer; returns the changesets that were asked for, `nil` where nothing was.
  mutating func take(_ delivery: Delivery) -> [Changeset]? {
    guard let request = underWay.removeValue(forKey: delivery.request) else { return nil }
    switch request.want {
    case .names(let names):
      // An answer that serves nothing would be asked for for ever.
      let served = min(max(1, delivery.served), names.count)
      switch names {
      case .words(let asked):
        words.insert(contentsOf: asked.dropFirst(served), at: 0)
        return delivery.changesets.filter { asked.contains($0.id.words.0) }
      case .ids(let asked):
        ids.insert(contentsOf: asked.dropFirst(served), at: 0)
        return delivery.changesets.filter { asked.contains($0.id) }
      }
    case .range(let range, let after):
      let wanted = delivery.changesets.filter { changeset in
        range.contains(changeset.id) && after.map { changeset.id > $0 } ?? true
      }
      if delivery.remaining > 0, let last = wanted.map(\.id).max() {
        proceed(range, after: last, remaining: delivery.remaining)
      }
      return wanted
    case .trust(let from):
      if delivery.remaining > 0, delivery.served > 0, from < SyncLimits.setCount {
        trust = from + min(delivery.served, SyncLimits.setCount - from)
      }
      return delivery.changesets
    }
  }

  /// The rest of a range: as one, or, where it is large, the part that holds `last` and those after it.
  private mutating func proceed(_ range: RangePrefix, after last: Digest, remaining: Int) {
    guard remaining > Self.divideAbove, ranges.count + 16 <= Self.rangeLimit,
      range.nibbles < RangePrefix.maximumNibbles
    else {
      ranges.append((range, last))
      return
    }
    let parts = (0..<16).compactMap(range.child)
    for part in parts.reversed() {
      if part.contains(last) {
        ranges.append((part, last))
      } else if part.word > last.words.0 {
        ranges.append((part, nil))
      }
    }
  }

  /// Requests whose answer is overdue, in the order they were numbered.
  func overdue(_ now: Instant) -> [UInt32] {
    underWay.filter { $0.value.deadline <= now }.keys.sorted()
  }

  var nextDeadline: Instant? { underWay.values.map(\.deadline).min() }

  mutating func retry(_ number: UInt32, deadline: Instant) -> Want.Part? {
    guard var request = underWay[number] else { return nil }
    request.attempts += 1
    request.deadline = deadline
    underWay[number] = request
    return request.want
  }

  /// Everything under way had to be asked for again.
  var isUnanswered: Bool {
    !underWay.isEmpty && underWay.values.allSatisfy { $0.attempts > 1 }
  }

  func attempts(_ number: UInt32) -> Int { underWay[number]?.attempts ?? 0 }

  /// Something came: what else is under way may be behind it on the same stream.
  mutating func extend(until instant: Instant) {
    for (number, request) in underWay where request.deadline < instant {
      underWay[number]?.deadline = instant
    }
  }

  /// Lets everything under way be asked for again at `instant`: the other side is out of budget.
  mutating func postpone(until instant: Instant) {
    for number in underWay.keys {
      underWay[number]?.deadline = instant
      underWay[number]?.attempts = 0
    }
  }
}
