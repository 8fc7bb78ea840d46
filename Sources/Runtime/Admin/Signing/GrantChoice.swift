public import Base
public import Replication

/// What a changeset needs of the grant that it acts under.
public enum NeededRight: Hashable, Sendable, CustomStringConvertible {
  /// To have this capability (or a wider `slice:` pattern).
  case hold(Capability)
  /// To hand it on.
  case give(Capability)
  /// To void what is under that grant: one of those IDs, which are its chain and itself.
  case floor(on: Digest, by: Set<Digest>)

  public var description: String {
    switch self {
    case .hold(let capability): "\(capability)"
    case .give(let capability): "the right to grant \(capability)"
    case .floor(let grant, _): "a place above the grant \(grant.short)"
    }
  }
}

/// Which of a key's grants a changeset acts under.
public struct GrantChoice: Hashable, Sendable {
  public var grant: Digest
  /// Of a root version: how many of its keys have to sign.
  public var root: RootKeys?
  public var notAfter: APITime?
  /// Links that may still hang under it.
  public var delegationDepth: Int

  public var threshold: Int { root?.threshold ?? 1 }

  /// The root itself: what is known with no peer.
  public init(genesis: Genesis, key: PublicKey) throws(AdminError) {
    guard genesis.root.keys.contains(key) else {
      throw AdminError(
        .failed, "the key \(key.short) is no root key of \(genesis.name), and no peer can be asked",
        fix: "Name a peer with --peer, so that the key's grant can be found.")
    }
    self.init(grant: genesis.id, root: genesis.root)
  }

  public init(
    grant: Digest, root: RootKeys? = nil, notAfter: APITime? = nil, delegationDepth: Int = 3
  ) {
    self.grant = grant
    self.root = root
    self.notAfter = notAfter
    self.delegationDepth = delegationDepth
  }

  /// The least powerful valid grant of the key that suffices.
  public init(
    of key: PublicKey, for needs: [NeededRight], among grants: [APIGrant], now: APITime
  ) throws(AdminError) {
    let own = grants.filter { $0.rootKeys?.contains(key) ?? ($0.subject == key) }
    let valid = own.filter { grant in
      grant.state == .valid && grant.notAfter.map { now < $0 } ?? true
    }
    let fitting = valid.filter { grant in needs.allSatisfy { Self.suffices(grant, $0) } }
    let best = fitting.min {
      ($0.rootKeys == nil ? 0 : 1, $0.capabilities.count, $0.hlc.rawValue)
        < ($1.rootKeys == nil ? 0 : 1, $1.capabilities.count, $1.hlc.rawValue)
    }
    guard let best else {
      throw Self.refusal(key, needs, own: own, valid: valid, now: now)
    }
    self.init(
      grant: best.id,
      root: best.rootKeys.map { RootKeys(keys: $0, threshold: best.rootThreshold ?? 1) },
      notAfter: best.notAfter, delegationDepth: best.rootKeys == nil ? best.delegationDepth : 3)
  }

  private static func suffices(_ grant: APIGrant, _ need: NeededRight) -> Bool {
    if case .floor(_, let above) = need {
      // The root in force stands above everything, whichever version a grant was made under.
      return grant.rootKeys != nil || above.contains(grant.id)
    }
    if grant.rootKeys != nil { return true }
    switch need {
    case .hold(let capability): return holds(grant, capability)
    case .give(let capability):
      switch capability {
      case .own, .enrol: return grant.capabilities.contains(.admit)
      default:
        return grant.capabilities.contains(.grant) && grant.delegationDepth > 0
          && holds(grant, capability)
      }
    case .floor: return false
    }
  }

  private static func holds(_ grant: APIGrant, _ capability: Capability) -> Bool {
    guard case .slice(let glob) = capability else { return grant.capabilities.contains(capability) }
    return grant.capabilities.contains { $0.containsSlice(glob) }
  }

  private static func refusal(
    _ key: PublicKey, _ needs: [NeededRight], own: [APIGrant], valid: [APIGrant], now: APITime
  ) -> AdminError {
    guard !own.isEmpty else {
      return AdminError(
        .failed, "the key \(key.short) holds no grant in this ClusterSet; nothing was sent",
        fix: "Have it granted what it needs: starling grant \(key.hex) --capability ...")
    }
    guard !valid.isEmpty else {
      let states = own.map { grant in
        "\(grant.id.short) is "
          + (grant.state == .valid
            ? "expired since \(grant.notAfter ?? now)" : grant.state.rawValue)
      }
      return AdminError(
        .failed,
        "no grant of the key \(key.short) is valid (\(states.joined(separator: ", "))); "
          + "nothing was sent",
        fix: "Ask whoever granted it for a new grant.")
    }
    let missing = needs.filter { need in !valid.contains { suffices($0, need) } }
    let held = valid.flatMap(\.capabilities).map(\.description).joined(separator: ", ")
    guard let first = missing.first else {
      return AdminError(
        .failed, "no single grant of the key \(key.short) covers all of this; nothing was sent",
        fix: "Apply the parts one by one.")
    }
    return AdminError(
      .failed,
      "the key \(key.short) may not do this: it needs \(first) and holds \(held); nothing was sent",
      fix: "Have it granted by someone who holds that, or sign with another key (--key).")
  }
}
