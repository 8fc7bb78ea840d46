internal import Base

/// What is looked at before a changeset is held: signatures, time, pace and quota.
extension ReplicatedState {
  /// Signatures under a root version are counted against its threshold; any other changeset has its
  /// author's alone. Superfluous or bad ones are taken off a root's changeset: who relays it may have
  /// added them.
  func authenticate(
    _ changeset: inout Changeset, _ parent: GrantIndex, isVerified: Bool
  ) -> Refusal? {
    guard let root = engine.grants[Int(parent)].root else {
      if isVerified { return nil }
      guard changeset.endorsements.count == 1,
        !validSigners(changeset, among: [changeset.author]).isEmpty
      else { return .badSignature }
      return nil
    }
    let next = changeset.rootChange?.root
    let signers = validSigners(changeset, among: root.keys + (next?.keys ?? []))
    guard !signers.isEmpty else { return .badSignature }
    for version in [root, next].compactMap({ $0 }) {
      let valid = version.keys.count { signers.contains($0) }
      guard valid >= version.threshold else {
        return .tooFewSignatures(valid: valid, needed: version.threshold)
      }
    }
    guard signers.contains(changeset.author) else { return .badSignature }
    var seen: Set<PublicKey> = []
    changeset.endorsements.removeAll { !signers.contains($0.key) || !seen.insert($0.key).inserted }
    return nil
  }

  /// Keys whose signature fits; among these only, or `nil`: the author's.
  func validSigners(_ changeset: Changeset, among keys: [PublicKey]?) -> Set<PublicKey> {
    let signed = changeset.signedBytes
    var out: Set<PublicKey> = []
    for endorsement in changeset.endorsements
    where keys?.contains(endorsement.key) ?? (endorsement.key == changeset.author)
      && !out.contains(endorsement.key)
    {
      if crypto.verify(endorsement.signature, signed, endorsement.key) {
        out.insert(endorsement.key)
      }
    }
    return out
  }

  /// Holds what is ahead of the local clock, and what its author sends too fast.
  mutating func delay(
    _ changeset: Changeset, _ parent: GrantIndex, _ now: Now
  ) -> IngestOutcome? {
    let ahead = now.wallMilliseconds &+ limits.aheadMilliseconds
    var until = changeset.time.milliseconds
    if until > ahead {
      until -= limits.aheadMilliseconds
      return hold(changeset, until, .future)
    }
    guard !takeToken(parent, now) else { return nil }
    return hold(changeset, now.wallMilliseconds + 1_000, .rate)
  }

  private mutating func hold(
    _ changeset: Changeset, _ until: UInt64, _ why: HoldReason
  ) -> IngestOutcome {
    waiting.insert(
      changeset, .time(milliseconds: until, why), isTrusted: false, limits: limits)
    return .held(untilMilliseconds: until, why)
  }

  private func quota(_ grant: GrantIndex) -> Quota {
    engine.grants[Int(grant)].grant.quota ?? limits.quota
  }

  /// A token bucket by grant. It is as deep as the registers that the grant allows, so that all that an
  /// author ever wrote may come at once; what goes on above its pace has to wait.
  private mutating func takeToken(_ grant: GrantIndex, _ now: Now) -> Bool {
    let quota = quota(grant)
    let depth = Double(max(quota.registers, quota.changesetsPerMinute, 1))
    let usage = engine.grants[Int(grant)].usage
    var tokens = usage.tokens ?? depth
    let elapsed = max((now.instant - usage.refilled).nanoseconds, 0)
    if usage.tokens != nil {
      tokens = min(depth, tokens + Double(elapsed) / 60e9 * Double(quota.changesetsPerMinute))
    }
    engine.grants[Int(grant)].usage.refilled = now.instant
    guard tokens >= 1 else {
      engine.grants[Int(grant)].usage.tokens = tokens
      return false
    }
    engine.grants[Int(grant)].usage.tokens = tokens - 1
    return true
  }

  /// Bounds on what one grant's subject can make everyone hold.
  ///
  /// What is over the bound depends on the order of arrival, so peers may hold different parts of it.
  /// Only who breaks the rule is concerned: a peer's own writes pass through here first, so an honest
  /// author never sends what others refuse. The alarm asks for a larger quota or a revocation, and
  /// either brings the peers together again.
  mutating func exceeds(
    _ changeset: Changeset, _ parent: GrantIndex, _ changes: inout StateChanges
  ) -> Refusal? {
    if engine.grants[Int(parent)].isToken, changeset.grant != nil,
      engine.grants[Int(parent)].makers.count >= StateLimits.heldEnrolments
    {
      return .unauthorised(.mayNotGrant("anything more by a join token used so often"))
    }
    guard !engine.grants[Int(parent)].isRoot else { return nil }
    let usage = engine.grants[Int(parent)].usage
    let quota = quota(parent)
    let isNew = changeset.writes.count { write in !hasWritten(write.path, changeset) }
    let exceeded: Exceeded
    if isNew > 0, usage.registers + isNew > quota.registers {
      exceeded = .registers(quota.registers)
    } else if usage.bytes + changeset.body.count > quota.bytes {
      exceeded = .bytes(quota.bytes)
    } else {
      return nil
    }
    raise(.overQuota(grant: changeset.under, author: changeset.author, exceeded), &changes)
    return .overQuota(exceeded)
  }

  private func hasWritten(_ path: String, _ changeset: Changeset) -> Bool {
    guard let scope = index.numbers[changeset.scope], let record = index.record(path, scope) else {
      return false
    }
    return index.records[Int(record)].writes.contains {
      engine.held[Int($0.slot)].box.changeset.author == changeset.author
    }
  }
}
