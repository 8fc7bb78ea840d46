public import Base
public import Replication
public import Slices
internal import Wire

/// Makes one signed changeset from what is to change and what a peer said it holds.
public struct ChangesetBuilder: Sendable {
  public let clusterSet: Digest
  /// The grant that it acts under.
  public let under: Digest
  public let key: SigningKey
  /// Greater than everything the peer had seen.
  public let time: HybridTime

  public init(clusterSet: Digest, under: Digest, key: SigningKey, after seen: HybridTime) {
    self.clusterSet = clusterSet
    self.under = under
    self.key = key
    time = Self.next(after: seen)
  }

  /// Wall time, or one tick above what was seen where the local clock is behind.
  static func next(after seen: HybridTime) -> HybridTime {
    let now = HybridTime(milliseconds: wallMilliseconds())
    return max(now, seen == .max ? seen : HybridTime(rawValue: seen.rawValue + 1))
  }

  public static func wallMilliseconds() -> UInt64 {
    WallClock.now.wallMilliseconds
  }

  /// Register writes that cover everything the peer showed.
  public func changeset(
    setting registers: [RegisterWrite], over state: RemoteState, message: String = ""
  ) -> Changeset {
    let writes = registers.map { register in
      let context =
        state.entry(register.path, in: register.scope)?.context ?? VersionVector()
      return Write(
        path: register.path, value: register.value, counter: context[key.publicKey] + 1,
        context: context)
    }
    return signed(
      draft(scope: registers.first?.scope ?? .clusterset, writes: writes, message: message))
  }

  public func changeset(
    granting grant: Grant? = nil, floors: [Floor] = [], writes: [Write] = [],
    rootChange: RootChange? = nil, message: String = ""
  ) -> Changeset {
    var draft = draft(scope: .clusterset, writes: writes, message: message)
    draft.grant = grant
    draft.floors = floors
    draft.rootChange = rootChange
    return signed(draft)
  }

  private func draft(scope: Scope, writes: [Write], message: String) -> Changeset {
    Changeset(
      id: .zero, body: [], endorsements: [], clusterSet: clusterSet, scope: scope, under: under,
      author: key.publicKey, time: time, writes: writes, message: message)
  }

  private func signed(_ draft: Changeset) -> Changeset {
    ChangesetCodec.seal(draft, crypto: .sodium).signed(by: key.signer)
  }
}
