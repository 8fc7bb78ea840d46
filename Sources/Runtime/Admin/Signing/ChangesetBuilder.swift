public import Base
public import Replication
public import Slices
internal import Wire

/// Makes signed changesets from what a plan wants written.
///
/// The rules that every peer checks (docs/protocol): a write's counter is one more than its context has
/// for the author, its context holds all dots that the author saw, and the HLC is above all of them.
public struct ChangesetBuilder: Sendable {
  public let clusterSet: Digest
  public let signer: Signer
  /// The grant to act under.
  public let under: Digest
  private var clock: HybridClock
  private let now: Now

  /// - Parameter snapshot: what was seen. Throws where its readings are from the future.
  public init(
    clusterSet: Digest, under: Digest, signer: Signer, snapshot: RegisterSnapshot,
    nowMilliseconds: UInt64
  ) throws(AdminError) {
    if let other = snapshot.clusterSet, other != clusterSet {
      throw AdminError(
        .failed, "the peer belongs to another ClusterSet (\(other.short), not \(clusterSet.short))",
        fix: "Name a peer of yours with --peer, or another context with --config.")
    }
    let ahead = Int64(clamping: snapshot.latest.milliseconds) - Int64(clamping: nowMilliseconds)
    guard ahead <= Int64(HybridClock.maximumAheadMilliseconds) else {
      throw AdminError(
        .failed, "this machine's clock is \(ahead / 1000) s behind the peer's",
        fix: "Set the clock of this machine (or the peer's): changes are ordered by it.")
    }
    self.clusterSet = clusterSet
    self.under = under
    self.signer = signer
    clock = HybridClock(latest: snapshot.latest)
    now = Now(instant: .zero, wallMilliseconds: nowMilliseconds)
  }

  /// One changeset that carries all of it.
  public mutating func changeset(
    writes: [RegisterWrite] = [], grant: Grant? = nil, floors: [Floor] = [], message: String = "",
    after snapshot: RegisterSnapshot
  ) throws(AdminError) -> Changeset {
    var draft = Changeset(
      id: .zero, body: [], endorsements: [], clusterSet: clusterSet,
      scope: writes.first?.scope ?? .clusterset, under: under, author: signer.publicKey,
      time: clock.next(now: now), grant: grant, floors: floors, message: Self.bounded(message))
    for write in writes {
      guard
        let made = Write(
          path: write.path, value: write.value, author: signer.publicKey,
          after: snapshot.context(of: write.path, in: write.scope))
      else {
        throw AdminError(
          .failed,
          "\(write.path): somebody claimed that this key wrote it to the end of its counter",
          fix: "Find and revoke the author: `starling log --path \(write.path)`.")
      }
      draft.writes.append(made)
    }
    return ChangesetCodec.seal(draft, crypto: .sodium).signed(by: signer)
  }

  /// As few changesets as the bounds on one allow. Nearly always one, which is applied atomically.
  public mutating func changesets(
    writes: [RegisterWrite], message: String = "", after snapshot: RegisterSnapshot
  ) throws(AdminError) -> [Changeset] {
    guard !writes.isEmpty else { return [] }
    let before = clock
    if writes.count <= Changeset.maximumWrites {
      let whole = try changeset(writes: writes, message: message, after: snapshot)
      if ChangesetCodec.encode(whole).count <= Self.byteLimit { return [whole] }
      guard writes.count > 1 else {
        throw AdminError(
          .failed,
          "\(writes[0].path) is larger than a changeset may be "
            + "(\(Changeset.maximumBytes) bytes); nothing was sent")
      }
    }
    clock = before
    let middle = writes.count / 2
    return try changesets(writes: Array(writes[..<middle]), message: message, after: snapshot)
      + changesets(writes: Array(writes[middle...]), message: message, after: snapshot)
  }

  /// Leaves room for the signatures of a threshold.
  static let byteLimit = Changeset.maximumBytes - 4_096

  /// The greatest message that peers take, cut between characters.
  static func bounded(_ message: String) -> String {
    var out = message
    while out.utf8.count > StateLimits.messageBytes { out.removeLast() }
    return out
  }
}
