public import Base

extension Membership {
  /// What members tell one another. The sealed transport has authenticated the sender; what is said
  /// about others is believed only as far as its own signature goes.
  ///
  /// The `sync` messages go over streams, the others in datagrams, several to a datagram.
  public enum Message: Sendable {
    case ping(Ping)
    case ack(Ack)
    /// "Ping that member for me." Answered by `relayedAck` or `nack` with the same sequence.
    case probeRequest(sequence: UInt32, target: NodeID)
    case relayedAck(sequence: UInt32)
    /// "I am here, but it did not answer me": tells a slow asker from a dead target (Lifeguard).
    case nack(sequence: UInt32)
    /// At most `evidenceLimit` items.
    case evidence([Evidence])

    /// Asks for what differs: 64 digests over the members of the sender's view, one per bucket.
    case syncRequest(buckets: [UInt32])
    case syncSummary(SyncSummary)
    /// Asks for records by the first word of their subjects' ids; at most `wantLimit`.
    case syncWant(prefixes: [UInt64])
    case syncRecords(SyncRecords)
    /// "Too many ask me now; ask one of these." At most `redirectLimit`.
    case syncRedirect([NodeID])
  }

  /// Idle size as Protobuf: about 14 bytes.
  public struct Ping: Sendable {
    public var sequence: UInt32
    /// Hash of the sender's whole view: equal views cost nothing further.
    public var view: UInt32
    /// Opaque bytes of whoever composes this core (digests for anti-entropy): empty in effects, to
    /// be filled in on the way out; delivered as `Event.attachment`. At most `attachmentLimit`.
    public var attachment: [UInt8]

    public init(sequence: UInt32, view: UInt32, attachment: [UInt8] = []) {
      self.sequence = sequence
      self.view = view
      self.attachment = attachment
    }
  }

  /// Idle size as Protobuf: about 26 bytes.
  public struct Ack: Sendable {
    public var sequence: UInt32
    public var view: UInt32
    public var coordinate: NetworkCoordinate
    /// Where a few other members are, `CoordinateHints`' form.
    public var attachment: [UInt8]

    public init(
      sequence: UInt32, view: UInt32, coordinate: NetworkCoordinate, attachment: [UInt8] = []
    ) {
      self.sequence = sequence
      self.view = view
      self.coordinate = coordinate
      self.attachment = attachment
    }
  }

  public enum Evidence: Sendable {
    case record(MemberRecord)
    case accusation(Accusation)

    public var subject: NodeID {
      switch self {
      case .record(let record): record.subject
      case .accusation(let accusation): accusation.subject
      }
    }

    /// Bytes as Protobuf inside a message, at most.
    var size: Int {
      switch self {
      case .record(let record):
        record.addresses.reduce(32 + 64 + 10 + 6 + 14) { $0 + $1.utf8.count + 2 }
      case .accusation: 32 + 32 + 64 + 10 + 6 + 14
      }
    }
  }

  /// What the sender knows of some buckets, complete for each bucket of the mask.
  public struct SyncSummary: Sendable {
    /// Bit i: bucket i is covered.
    public var buckets: UInt64
    /// At most `summaryLimit`.
    public var members: [Entry]

    public struct Entry: Sendable {
      /// The first word of the member's id.
      public var prefix: UInt64
      public var incarnation: Incarnation
      public var standing: Standing

      public init(prefix: UInt64, incarnation: Incarnation, standing: Standing) {
        self.prefix = prefix
        self.incarnation = incarnation
        self.standing = standing
      }
    }

    /// What a view says of an incarnation, in the order in which evidence moves.
    public enum Standing: UInt8, Sendable {
      case alive = 0
      case left = 1
      case dead = 2
    }

    public init(buckets: UInt64, members: [Entry]) {
      self.buckets = buckets
      self.members = members
    }
  }

  public struct SyncRecords: Sendable {
    /// At most `syncEvidenceLimit`.
    public var evidence: [Evidence]
    /// Where members are, as the sender believes: hints, good for choosing, never for judging.
    public var coordinates: [Hint]

    public struct Hint: Sendable {
      /// The first word of the member's id.
      public var prefix: UInt64
      public var coordinate: NetworkCoordinate

      public init(prefix: UInt64, coordinate: NetworkCoordinate) {
        self.prefix = prefix
        self.coordinate = coordinate
      }
    }

    public init(evidence: [Evidence], coordinates: [Hint]) {
      self.evidence = evidence
      self.coordinates = coordinates
    }
  }

  // Limits of messages: the codec refuses what is above them, and so does `handle`.
  public static let attachmentLimit = 200
  public static let evidenceLimit = 16
  public static let bucketCount = 64
  public static let summaryLimit = 4096
  public static let wantLimit = 1024
  public static let syncEvidenceLimit = 256
  public static let redirectLimit = 8
  /// Evidence a datagram may carry, in bytes: 1,200 less sealing, a ping and an attachment.
  public static let datagramEvidenceBytes = 900
}
