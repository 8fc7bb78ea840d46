public import Base
public import Membership
public import Replication
public import Slices

/// What a peer is from its start on.
public struct PeerConfiguration: Sendable {
  public var genesis: Genesis
  public var cluster: String
  /// The key of this replica: the subject of its grant `own:<cluster>`.
  public var signer: Signer
  /// Persisted before use, higher at every start.
  public var bootEpoch: UInt64
  /// `host:port`, where other peers reach it.
  public var addresses: [String]
  /// Gives a draft its body bytes and ID: the wire format is not the core's business.
  public var seal: @Sendable (Changeset) -> Changeset
  public var membership = Membership.Configuration()
  /// What is sent to one peer: dissemination, and apart from it the questions of anti-entropy.
  public var gossipBudget = ByteBudget.Limit(bytesPerSecond: 65_536, burst: 1_048_576)
  /// How far ahead of this clock a change that was just made may be before it is noticed.
  public var clockTolerance: Duration = .seconds(1)
  /// The state came from a backup, and what this peer wrote since may be known to others only.
  public var isRestored = false
  /// Seeds every random choice of this peer.
  public var seed: UInt64

  public init(
    genesis: Genesis, cluster: String, signer: Signer, bootEpoch: UInt64, addresses: [String],
    seed: UInt64, seal: @escaping @Sendable (Changeset) -> Changeset
  ) {
    self.genesis = genesis
    self.cluster = cluster
    self.signer = signer
    self.bootEpoch = bootEpoch
    self.addresses = addresses
    self.seed = seed
    self.seal = seal
  }
}

/// A register of this cluster as its own reconcilers want it to be.
public struct LocalRegister: Hashable, Sendable {
  public var scope: Scope
  public var path: String
  /// `nil`: there should be none.
  public var value: Value?

  public init(scope: Scope, path: String, value: Value?) {
    self.scope = scope
    self.path = path
    self.value = value
  }
}

/// Names a connection of a peer that is not admitted yet, for as long as it lasts.
public typealias ConnectionID = UInt64

extension Peer {
  public enum Input: Sendable {
    /// First of all inputs.
    case start
    /// What one datagram or frame held, from a peer that the transport has authenticated.
    case received(from: NodeID, [PeerMessage])
    /// From a connection whose far side is not known to be admitted.
    case introduced(ConnectionID, [Changeset])
    /// Handed in by an admin or by whoever carries a changeset. The ticket comes back in `judged`.
    case submitted([Changeset], ticket: UInt64)
    /// Makes this cluster's own registers so, where they are not.
    case publish([LocalRegister])
    /// Keeps this peer in its cluster's record: as it alone would write it.
    case record(ClusterInfo)
    /// Reconcilers cannot act on a slice as it is, and why; `nil`: they can again.
    case reconciled(slice: String, complaint: String?)
    /// Another replica of this cluster says from now on what its slice registers are: what was asked
    /// for by `publish` is no longer made so. What is written stays.
    case relinquish
    /// These are on disk.
    case stored([Digest])
    /// Tell who else has stored and applied this: `confirmed` comes once for each member.
    case track(Digest, until: Instant)
    case streamProbe(NodeID, reachable: Bool)
    case addresses([String])
    /// Says goodbye; nothing but `tick` should come after it.
    case leave
    /// A timer at or after `nextDeadline`.
    case tick
  }

  public enum Effect: Sendable {
    /// One datagram; may be lost.
    case datagram(to: NodeID, [PeerMessage])
    /// By stream: in order, and lost only with the connection.
    case frame(to: NodeID, PeerMessage)
    /// Opens a stream to it (or uses one), asks, and says in `streamProbe` what came of it.
    case probeStream(NodeID)
    /// Opens a stream to an address that no known member has and sends the message.
    case contactSeed(String, PeerMessage)
    /// Answers an introduction on its own connection.
    case answer(ConnectionID, PeerMessage)
    /// Makes these durable, then says `stored`.
    case store([Changeset])
    /// These need not be kept any longer.
    case forget([Digest])
    /// The admitted peers or their addresses changed: `admitted` has them.
    case peersChanged
    /// Effective values or conflicts of these registers changed, ascending, each once.
    case registersChanged([RegisterName])
    case judged(ticket: UInt64, [Verdict])
    /// That member has stored and applied it.
    case confirmed(Digest, by: NodeID)
    case persistBootEpoch(UInt64)
    case event(PeerEvent)
  }

  /// What became of one changeset.
  public struct Verdict: Sendable {
    public var id: Digest
    public var outcome: IngestOutcome

    public init(id: Digest, outcome: IngestOutcome) {
      self.id = id
      self.outcome = outcome
    }
  }
}

/// For logs and counters; nothing depends on it.
public enum PeerEvent: Sendable {
  case membership(Membership.Event)
  case sync(SyncEvent)
  /// A changeset that was not taken as it is; `from` is `nil` for the API.
  case refused(Digest, author: PublicKey, from: NodeID?, IngestOutcome)
  case alarm(StateAlarm)
  /// Another peer refused what this one sent; the sentence is its own.
  case refusedBy(NodeID, String)
  /// A change that was just made elsewhere comes from so many milliseconds in the future; its author's
  /// cluster, where it has one.
  case clockBehind(String?, UInt64)
  /// A peer that began without what others know has learned it.
  case caughtUp
  /// Own changesets could not be made; the sentence says why.
  case cannotPublish(String)
}
