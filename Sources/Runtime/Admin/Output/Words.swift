internal import Base
public import Replication

/// How long ago something was, as people say it.
public enum Age {
  /// `4s`, `12m`, `3h`, `5d`; `in 2h` for what is to come.
  public static func text(_ time: APITime, now: APITime) -> String {
    let past = time <= now
    let milliseconds =
      past ? now.milliseconds - time.milliseconds : time.milliseconds - now.milliseconds
    let seconds = milliseconds / 1000
    let text =
      switch seconds {
      case ..<120: "\(seconds)s"
      case ..<7200: "\(seconds / 60)m"
      case ..<172_800: "\(seconds / 3600)h"
      default: "\(seconds / 86_400)d"
      }
    return past ? text : "in \(text)"
  }

  public static func text(_ milliseconds: Double?) -> String? {
    milliseconds.map { value in
      value < 10 ? "\((value * 100).rounded() / 100) ms" : "\((value * 10).rounded() / 10) ms"
    }
  }
}

/// A changeset in one line.
public enum ChangesetSummary {
  public static func text(_ changeset: APIChangeset) -> String {
    let what = content(changeset)
    return changeset.message.isEmpty || changeset.message == what
      ? what : changeset.message.isEmpty ? what : "\(changeset.message) (\(what))"
  }

  /// What it does, whatever its message says.
  public static func content(_ changeset: APIChangeset) -> String {
    var parts: [String] = []
    if let grant = changeset.grant {
      parts.append("grants \(capabilities(grant.capabilities)) to \(grant.subject.short)")
    }
    for floor in changeset.floors {
      let keeps = floor.keep.isEmpty ? "keeping nothing" : "keeping \(floor.keep.count)"
      parts.append("\(floor.floor == .max ? "ends" : "cuts") grant \(floor.grant.short), \(keeps)")
    }
    if let keys = changeset.rootKeys {
      parts.append("makes \(keys.count) keys the root, threshold \(changeset.rootThreshold ?? 1)")
    }
    parts += changeset.writes.prefix(3).map { ($0.deletes ? "deletes " : "sets ") + $0.path }
    if changeset.writes.count > 3 { parts.append("and \(changeset.writes.count - 3) more") }
    return parts.joined(separator: ", ")
  }

  public static func capabilities(_ capabilities: [Capability]) -> String {
    capabilities.map(\.description).joined(separator: ",")
  }
}
