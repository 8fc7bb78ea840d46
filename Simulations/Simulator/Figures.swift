internal import Base

/// What a run came to: the same keys in every scenario, so that runs can be compared and tabulated.
/// `nil` where a scenario has no such figure.
public struct Figures: Sendable {
  public var scenario: String
  public var seed: UInt64
  public var nodes: Int
  /// Of what the scenario times: from a cause until a peer knows.
  public var p50: Double?
  public var p99: Double?
  public var maximum: Double?
  public var farthestPath: Double?
  public var copiesPerPeer: Double?
  /// Sent, headers included; the mean of all peers, and of the busiest over any second.
  public var bytesPerSecondPerPeer: Double?
  public var peakBytesPerSecond: Double?
  /// Peers that at some time had sent more than their budget of bytes allows.
  public var peersOverBudget = 0
  public var falseEvictions = 0
  public var flaps = 0
  /// One after the other where several were tried.
  public var syncDifferences: [Int] = []
  public var syncBytes: [Int] = []
  public var syncBytesAllowed: [Int] = []
  /// One sentence each.
  public var violations: [String] = []
  public var traceHash = ""
  public var simulatedSeconds = 0.0
  public var realSeconds = 0.0
  /// Of one core; less than `realSeconds` where the machine has other things to do.
  public var coreSeconds = 0.0
  /// Of the measured part alone, without the start, for each second of a core.
  public var settledSpeed: Double?
  public var events = 0

  public init(scenario: String, seed: UInt64, nodes: Int) {
    self.scenario = scenario
    self.seed = seed
    self.nodes = nodes
  }

  public var simulatedPerRealSecond: Double { simulatedSeconds / max(realSeconds, 1e-9) }
  public var simulatedPerCoreSecond: Double { simulatedSeconds / max(coreSeconds, 1e-9) }

  /// Names with units, and values; in the order in which they are printed.
  public var table: [(key: String, value: JSONValue)] {
    [
      ("scenario", .text(scenario)), ("seed", .number(Double(seed))),
      ("nodes", .number(Double(nodes))), ("p50_ms", .optional(p50)), ("p99_ms", .optional(p99)),
      ("max_ms", .optional(maximum)), ("farthest_path_ms", .optional(farthestPath)),
      ("payload_copies_per_peer", .optional(copiesPerPeer)),
      ("bytes_per_second_per_peer", .optional(bytesPerSecondPerPeer)),
      ("peak_bytes_per_second_of_a_peer", .optional(peakBytesPerSecond)),
      ("peers_over_byte_budget", .number(Double(peersOverBudget))),
      ("false_evictions", .number(Double(falseEvictions))), ("flaps", .number(Double(flaps))),
      ("sync_differences", .optional(syncDifferences)),
      ("sync_bytes", .optional(syncBytes)), ("sync_bytes_allowed", .optional(syncBytesAllowed)),
      ("violations", .number(Double(violations.count))),
      ("violation_sentences", .list(violations.prefix(20).map { .text($0) })),
      ("trace_hash", .text(traceHash)), ("simulated_seconds", .number(simulatedSeconds)),
      ("real_seconds", .number(realSeconds)),
      ("simulated_per_real_second", .number(simulatedPerRealSecond)),
      ("core_seconds", .number(coreSeconds)),
      ("simulated_per_core_second", .number(simulatedPerCoreSecond)),
      ("simulated_per_core_second_settled", .optional(settledSpeed)),
      ("events", .number(Double(events))),
    ]
  }

  /// Medians of what differs between seeds; violations and evictions add up, the greatest maximum
  /// and peak count.
  public static func medians(of runs: [Figures]) -> Figures? {
    guard let first = runs.first else { return nil }
    guard runs.count > 1 else { return first }
    var out = first
    func median(_ value: (Figures) -> Double?) -> Double? {
      let sorted = runs.compactMap(value).sorted()
      return sorted.isEmpty ? nil : sorted[sorted.count / 2]
    }
    out.p50 = median(\.p50)
    out.p99 = median(\.p99)
    out.maximum = runs.compactMap(\.maximum).max()
    out.farthestPath = median(\.farthestPath)
    out.copiesPerPeer = median(\.copiesPerPeer)
    out.bytesPerSecondPerPeer = median(\.bytesPerSecondPerPeer)
    out.peakBytesPerSecond = runs.compactMap(\.peakBytesPerSecond).max()
    out.settledSpeed = median(\.settledSpeed)
    // The most that any seed took, place by place.
    for run in runs where run.syncBytes.count == out.syncBytes.count {
      out.syncBytes = zip(out.syncBytes, run.syncBytes).map { max($0, $1) }
    }
    out.peersOverBudget = runs.reduce(0) { $0 + $1.peersOverBudget }
    out.falseEvictions = runs.reduce(0) { $0 + $1.falseEvictions }
    out.flaps = runs.reduce(0) { $0 + $1.flaps }
    out.violations = runs.flatMap { run in run.violations.map { "seed \(run.seed): \($0)" } }
    out.simulatedSeconds = runs.reduce(0) { $0 + $1.simulatedSeconds }
    out.realSeconds = runs.reduce(0) { $0 + $1.realSeconds }
    out.coreSeconds = runs.reduce(0) { $0 + $1.coreSeconds }
    out.events = runs.reduce(0) { $0 + $1.events }
    var hash = TraceHash()
    for run in runs { hash.add(UInt64(run.traceHash, radix: 16) ?? 0) }
    out.traceHash = hash.text
    return out
  }
}

/// Just enough JSON to print figures.
public indirect enum JSONValue: Sendable {
  case text(String)
  case number(Double)
  case null
  case list([JSONValue])
  case object([(key: String, value: JSONValue)])

  static func optional(_ number: Double?) -> JSONValue { number.map { .number($0) } ?? .null }

  /// `null` where there are none.
  static func optional(_ numbers: [Int]) -> JSONValue {
    numbers.isEmpty ? .null : .list(numbers.map { .number(Double($0)) })
  }

  public var text: String {
    switch self {
    case .text(let text): Self.quoted(text)
    case .number(let number): Self.plain(number)
    case .null: "null"
    case .list(let items): "[" + items.map(\.text).joined(separator: ", ") + "]"
    case .object(let items):
      "{" + items.map { "\(Self.quoted($0.key)): \($0.value.text)" }.joined(separator: ", ") + "}"
    }
  }

  /// Whole numbers as such, others to a thousandth.
  private static func plain(_ number: Double) -> String {
    guard number.isFinite else { return "null" }
    if number == number.rounded(), abs(number) < 1e15 { return String(Int64(number)) }
    let thousandths = Int64((number * 1_000).rounded())
    let fraction = String(1_000 + abs(thousandths % 1_000)).dropFirst()
    return (thousandths < 0 ? "-" : "") + "\(abs(thousandths / 1_000)).\(fraction)"
  }

  private static func quoted(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case _ where scalar.value < 32: out += " "
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }
}

extension [Double] {
  /// The value below which a share of all lies; nearest rank.
  public func percentile(_ share: Double) -> Double? {
    guard !isEmpty else { return nil }
    let sorted = sorted()
    return sorted[Swift.min(Int(Double(count) * share), count - 1)]
  }
}
