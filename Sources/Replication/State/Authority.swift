public import Base

/// Why a changeset is outside of what the grant it acts under allows. Final: both are immutable.
public enum Unauthorised: Hashable, Sendable {
  /// Its author is not the subject of the grant.
  case notTheSubject(grant: Digest)
  case expired(grant: Digest)
  case mayNotWrite(path: String, needs: String)
  case mayNotGrant(String)
  /// The grant's delegation depth is used up.
  case tooDeep
  /// A floor may be put by a grantor on the grant's chain or, unless it is a token, its subject.
  case mayNotChangeRoot
}

extension Unauthorised: CustomStringConvertible {
  public var description: String {
    switch self {
    case .notTheSubject(let grant): "its author is not the subject of the grant \(grant.short)"
    case .expired(let grant): "the grant \(grant.short) had expired when it was made"
    case .mayNotWrite(let path, let needs): "writing \(path) needs \(needs)"
    case .mayNotGrant(let what): "its author may not grant \(what)"
    case .tooDeep: "its author's grant may not be delegated any further"
    case .mayNotChangeRoot: "only the root may change the root"
    }
  }
}

/// What capabilities allow. The counting rules know grants as nodes of a tree, and ask here; the
/// executable specification has capabilities of its own, which tests put in this place.
protocol Authority: Sendable {
  /// What the root holds.
  var rootCapabilities: [Capability] { get }
  /// Whether of the grants made under it only one may live.
  func isToken(_ grant: Grant) -> Bool
  /// Its author is the subject of `grant` already. `nil`: it stays within it.
  func objection(to changeset: Changeset, under grant: Grant, isRoot: Bool) -> Unauthorised?
}

/// Starling's capabilities: who may write which path, and what may be handed on.
struct StandardAuthority: Authority {
  var defaultQuota: Quota

  var rootCapabilities: [Capability] { [.grant, .admit, .read, .slice("*")] }

  func isToken(_ grant: Grant) -> Bool {
    grant.capabilities.contains { if case .enrol = $0 { true } else { false } }
  }

  func objection(to changeset: Changeset, under grant: Grant, isRoot: Bool) -> Unauthorised? {
    if let end = grant.notAfterMilliseconds, changeset.time.milliseconds > end {
      return .expired(grant: changeset.under)
    }
    if changeset.rootChange != nil, !isRoot { return .mayNotChangeRoot }
    for write in changeset.writes {
      if let needed = PathRule.missing(write.path, changeset.scope, grant.capabilities) {
        return .mayNotWrite(path: write.path, needs: needed)
      }
    }
    return changeset.grant.flatMap { objection(to: $0, from: grant, isRoot: isRoot) }
  }

  /// A grant holds no more than the one it is made under.
  private func objection(to child: Grant, from parent: Grant, isRoot: Bool) -> Unauthorised? {
    if !isRoot, let quota = child.quota, !quota.isWithin(parent.quota ?? defaultQuota) {
      return .mayNotGrant("so large a quota")
    }
    if isToken(parent) { return objection(toEnrolment: child, by: parent) }
    var delegates = false
    for capability in child.capabilities {
      switch capability {
      case .own, .enrol:
        // What a cluster says of itself, and the way in, stand alone and end a chain: they hand on
        // nothing of the grantor's own, so they take no depth.
        guard parent.capabilities.contains(.admit), child.capabilities.count == 1,
          child.delegationDepth == 0
        else { return .mayNotGrant("\(capability)") }
        if case .own = capability { continue }
      case .grant, .admit, .read:
        guard parent.capabilities.contains(.grant), parent.capabilities.contains(capability)
        else { return .mayNotGrant("\(capability)") }
        delegates = true
      case .slice(let glob):
        guard parent.capabilities.contains(.grant),
          parent.capabilities.contains(where: { $0.containsSlice(glob) })
        else { return .mayNotGrant("\(capability)") }
        delegates = true
      }
      // A cluster stays when the grant of the admin who admitted it ends; all else ends with it.
      if let end = parent.notAfterMilliseconds {
        guard let childEnd = child.notAfterMilliseconds, childEnd <= end else {
          return .mayNotGrant("\(capability) for longer than it holds itself")
        }
      }
    }
    if delegates, child.delegationDepth >= parent.delegationDepth { return .tooDeep }
    return nil
  }

  /// A token gives its cluster's own powers, nothing else; when that happens its own time is up.
  private func objection(toEnrolment child: Grant, by token: Grant) -> Unauthorised? {
    for case .enrol(let cluster) in token.capabilities
    where child.capabilities == [.own(cluster)] && child.delegationDepth == 0 {
      return nil
    }
    return .mayNotGrant("anything but its own cluster's records by a join token")
  }
}

extension Quota {
  func isWithin(_ other: Quota) -> Bool {
    registers <= other.registers && bytes <= other.bytes
      && changesetsPerMinute <= other.changesetsPerMinute
  }
}

extension Capability {
  /// Whether this is `slice:` of a pattern that matches all that `glob` matches.
  public func containsSlice(_ glob: some StringProtocol) -> Bool {
    guard case .slice(let own) = self else { return false }
    guard own.utf8.last == UInt8(ascii: "*") else { return own == glob }
    // Byte by byte: paths and names are ASCII, and this is asked of every write.
    return glob.utf8.starts(with: own.utf8.dropLast())
  }
}
