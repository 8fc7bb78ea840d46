/// Every bound of the replicated state, in one place.
public struct StateLimits: Hashable, Sendable {
  /// A changeset whose HLC is further ahead of the local wall clock than this is held.
  public var aheadMilliseconds: UInt64 = 10_000
  /// What waits for its grant chain or for its time, in all and for each author. Evicted ones come
  /// again by anti-entropy.
  public var waiting = 8_192
  public var waitingPerAuthor = 1_024
  /// Held changesets that do not count, in all: the longest idle ones are forgotten first.
  public var notCounting = 65_536
  /// How long those stay for audit and rescue.
  public var graceMilliseconds: UInt64 = 7 * 24 * 3_600 * 1_000
  /// Changesets set aside because a consumer failed on them.
  public var quarantined = 1_024
  /// Of a grant that names none.
  public var quota = Quota(
    registers: 131_072, bytes: 256 << 20, changesetsPerMinute: 6_000)
  /// Whether a changeset of which nothing is left goes at once. Off only where all history is kept.
  public var dropsSuperseded = true

  public init() {}

  /// Bounds of one changeset: who exceeds them is refused by everyone, for ever.
  public static let pathBytes = 512
  public static let contextAuthors = 256
  public static let capabilities = 32
  public static let messageBytes = 1_024
  public static let endorsements = 64
  public static let delegationDepth = 3
  /// Rival enrolments of one token that are compared, and that are held.
  public static let rivalEnrolments = 16
  public static let heldEnrolments = 64
  /// Alarms remembered, so that each is raised once.
  public static let raisedAlarms = 1_024
  /// Slices that one state replicates.
  public static let scopes = 16_384
  /// Counters stay far from the end of their type.
  public static let counter: UInt64 = 1 << 53
  /// IDs that a floor can keep, so that its changeset stays within `Changeset.maximumBytes`.
  public static let keepIDs = 1_900
  /// Writes that are signed again in one compaction step.
  public static let compactionBatch = 64
}
