public import Base

/// One held or waiting changeset as `starling log` shows it.
public struct LogEntry: Sendable {
  public var changeset: Changeset
  public var outcome: IngestOutcome
  /// In the compared set.
  public var isCompared: Bool
  /// The consumer's complaint.
  public var quarantine: String?
}

extension ReplicatedState {
  /// What is known of one changeset; `nil` where it is neither held nor waiting.
  public func logEntry(_ id: Digest) -> LogEntry? {
    if let slot = engine.slots[id] {
      return LogEntry(
        changeset: engine.changeset(slot), outcome: outcome(slot),
        isCompared: engine.held[Int(slot)].status.contains(.compared),
        quarantine: quarantined[id])
    }
    guard let entry = waiting[id] else { return nil }
    let outcome: IngestOutcome =
      switch entry.reason {
      case .grant(let grant): .pending(missing: grant)
      case .time(let milliseconds, let why): .held(untilMilliseconds: milliseconds, why)
      }
    return LogEntry(
      changeset: entry.changeset, outcome: outcome, isCompared: false, quarantine: nil)
  }

  /// The newest first, by (HLC, ID).
  ///
  /// - Parameter scope: `nil`: all.
  /// - Parameter path: those that write a register which begins so.
  /// - Parameter before: older than this.
  public func log(
    scope: Scope? = nil, path: String? = nil, author: PublicKey? = nil,
    before: HybridTime? = nil, limit: Int
  ) -> [LogEntry] {
    let number = scope.map { index.numbers[$0] ?? -1 }
    var found: [(time: HybridTime, id: Digest)] = []
    for entry in engine.held where number == nil || entry.scope == number {
      let changeset = entry.box.changeset
      if engine.slots[changeset.id] != nil, matches(changeset, path, author, before) {
        found.append((changeset.time, changeset.id))
      }
    }
    for id in waiting.ids {
      if let changeset = waiting[id]?.changeset, scope == nil || changeset.scope == scope,
        matches(changeset, path, author, before)
      {
        found.append((changeset.time, id))
      }
    }
    return found.sorted(by: >).prefix(max(limit, 0)).compactMap { logEntry($0.id) }
  }

  private func matches(
    _ changeset: Changeset, _ path: String?, _ author: PublicKey?, _ before: HybridTime?
  ) -> Bool {
    if let author, changeset.author != author { return false }
    if let before, changeset.time >= before { return false }
    guard let path else { return true }
    return changeset.writes.contains { $0.path.utf8.starts(with: path.utf8) }
  }

  /// Marks a changeset on which a consumer failed: its values are shown and not acted on.
  public mutating func quarantine(_ id: Digest, because complaint: String) {
    guard engine.slots[id] != nil else { return }
    if quarantined[id] == nil, quarantined.count >= limits.quarantined,
      let first = quarantined.keys.min()
    {
      quarantined[first] = nil
    }
    quarantined[id] = complaint
  }

  public mutating func endQuarantine(_ id: Digest) {
    quarantined[id] = nil
  }
}
