public import Base

/// Who this peer is.
public struct MemberIdentity: Sendable {
  public var signer: Signer
  /// At most 63 bytes.
  public var cluster: String
  /// Signatures count in this ClusterSet only.
  public var clusterSet: Digest
  /// Persisted before use, higher at every start.
  public var bootEpoch: UInt64
  /// `host:port`, where others reach it.
  public var addresses: [String]

  public init(
    signer: Signer, cluster: String, clusterSet: Digest, bootEpoch: UInt64, addresses: [String]
  ) {
    self.signer = signer
    self.cluster = cluster
    self.clusterSet = clusterSet
    self.bootEpoch = bootEpoch
    self.addresses = addresses
  }
}

/// A peer that the signed state admits. Immutable and shared by reference.
public final class AdmittedPeer: Sendable {
  public let id: NodeID
  public let key: PublicKey
  public let cluster: String
  /// From the signed state; a member's own record, where known, overrides them.
  public let addresses: [String]

  public init(key: PublicKey, cluster: String, addresses: [String], crypto: Crypto) {
    id = crypto.nodeID(of: key)
    self.key = key
    self.cluster = cluster
    self.addresses = addresses
  }
}

/// What this peer believes of a member.
public enum MemberState: UInt8, Hashable, Sendable {
  /// Admitted, never heard of.
  case unknown
  case alive
  /// Alive, but its answers get lost or it keeps coming and going: use it last.
  case degraded
  /// Accused and not yet refuted.
  case suspect
  case dead
  case left

  /// Whether it takes part: worth sending to.
  public var isPresent: Bool {
    switch self {
    case .alive, .degraded, .suspect: true
    case .unknown, .dead, .left: false
    }
  }
}

extension Membership {
  public enum Input: Sendable {
    /// Peers that the signed state admits from now on, or whose addresses in it changed. Self is
    /// ignored. The first call starts the protocol.
    case admitted([AdmittedPeer])
    /// Peers that it admits no longer: forgotten at once.
    case expelled([NodeID])
    /// What is known of the members already, before any other input.
    case restored(MembershipView)
    /// All that it admits from now on, instead of telling who comes and who goes.
    case admission(Admission)
    /// What one datagram or frame held, from a peer that the transport has authenticated.
    case messages(from: NodeID, [Message])
    /// Any other authenticated traffic: proof of life. Optional and cheap.
    case heard(NodeID)
    /// A timer at or after `nextDeadline`.
    case tick
    case localAddressesChanged([String])
    /// Says goodbye to everyone; after this nothing but `tick`s should come.
    case leave
    case streamProbeResult(NodeID, reachable: Bool)
  }

  public enum Effect: Sendable {
    /// One datagram.
    case send(to: NodeID, [Message])
    /// Over the stream transport: reliable, in order.
    case sendStream(to: NodeID, Message)
    /// Open (or reuse) a stream and say whether the member answered; `streamProbeResult`.
    case streamProbe(NodeID)
    /// No known member has this static seed's address: open a stream to it. Whoever answers there
    /// is an admitted member, and its NodeID then comes as `heard`.
    case contactSeed(String)
    /// Others hold a higher boot epoch of ours (a restored backup): the next start must be above it.
    case persistBootEpoch(UInt64)
    case event(Event)
  }

  public enum Event: Sendable {
    case state(NodeID, from: MemberState, to: MemberState)
    /// A member was accused by so many distinct members so far.
    case accused(NodeID, accusers: Int)
    /// This peer was accused and raised its incarnation.
    case refuted(by: NodeID, Incarnation)
    /// A message or a piece of evidence that changed nothing.
    case rejected(from: NodeID, Rejection)
    case attachment(from: NodeID, [UInt8])
    case probed(NodeID, roundTrip: Duration)
    case probeFailed(NodeID)
    case localHealth(Int)
    case synchronised(with: NodeID, learned: Int)
  }

  /// Why something was refused; nothing was changed by it.
  public enum Rejection: UInt8, Hashable, Sendable, CaseIterable {
    /// The sender is not admitted (any more).
    case senderNotAdmitted
    /// About a member that is not admitted; held and, if an accusation, relayed, within bounds.
    case unknownSubject
    /// By a member that is not admitted.
    case unknownAccuser
    case badSignature
    /// Older than what is known.
    case stale
    /// It accuses an incarnation that nobody has seen; held within bounds until it is.
    case unknownIncarnation
    case accusesItself
    /// An answer to nothing that was asked, or by another member than the one asked.
    case unexpectedAnswer
    case overLimit
    /// More than this peer handles for others at a time.
    case tooBusy
  }

  /// A member as this peer sees it.
  public struct Member: Sendable {
    public var peer: AdmittedPeer
    public var state: MemberState
    /// The last word of the member about itself.
    public var record: MemberRecord?
    public var since: Instant
    /// Smoothed; `nil` until it was probed.
    public var roundTrip: Duration?
    public var coordinate: NetworkCoordinate

    public var id: NodeID { peer.id }
    public var addresses: [String] {
      guard let record, !record.addresses.isEmpty else { return peer.addresses }
      return record.addresses
    }
  }
}
