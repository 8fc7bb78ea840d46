/// What a slice may send through this gateway (`slice/<s>/qos`).
public struct ShapingRule: Hashable, Sendable {
  /// The most, in kilobits a second of inner packets; 0: no limit of its own.
  public var ceiling: Int
  /// What it gets although others want more; 0: nothing of its own.
  public var guaranteed: Int
  /// 0 to 7: what is left beyond the guarantees is shared in proportion to 8 − priority.
  public var priority: Int

  public static let largestRate = 400_000_000

  public init(ceiling: Int = 0, guaranteed: Int = 0, priority: Int = 1) {
    self.ceiling = min(max(ceiling, 0), Self.largestRate)
    self.guaranteed = min(max(guaranteed, 0), Self.largestRate)
    self.priority = min(max(priority, 0), 7)
  }

  var weight: Int { 8 - priority }
}

/// All slices of a gateway share one link.
public struct ShapingPlan: Hashable, Sendable {
  /// What the link carries, in kilobits a second of outer IP packets; 0: not known. Then only ceilings
  /// hold back, and guarantees decide who is next where the machine itself is the limit.
  public var link: Int
  /// By device number. Those that are not in it are not held back.
  public var rules: [Int: ShapingRule]

  public init(link: Int = 0, rules: [Int: ShapingRule] = [:]) {
    self.link = min(max(link, 0), ShapingRule.largestRate)
    self.rules = rules
  }
}

/// How a slice's packets of one class fared in its queue.
public struct QueueFigures: Hashable, Sendable {
  /// Packets (segments) that found no room.
  public var refused: UInt64 = 0
  /// Packets (segments) that were dropped since the queue stood for too long.
  public var delayed: UInt64 = 0
  /// Packets that were nothing to be cut and sent.
  public var malformed: UInt64 = 0
  /// Packets marked instead of dropped.
  public var marked: UInt64 = 0
  /// What waits now.
  public var bytes = 0

  public init() {}
}

extension TunnelLimits {
  /// Bytes that may wait in one class of one slice: a tenth of a second at its rate, within these.
  public static let leastQueue = 256 << 10
  public static let largestQueue = 4 << 20
  /// Bytes that are granted at once, so that a slice with everything to itself does not keep others
  /// waiting.
  public static let grant = 16 << 10
  /// Turns in a round of the deficit scheduler: a full packet for each unit of weight.
  static let quantum = 1_500
}
