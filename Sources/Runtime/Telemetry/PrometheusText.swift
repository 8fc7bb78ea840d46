/// Prometheus' text exposition format, version 0.0.4.
public enum PrometheusText {
  public static let mediaType = "text/plain; version=0.0.4; charset=utf-8"

  public static func exposition(of registry: MetricsRegistry) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(16_384)
    for (name, family) in registry.families() where !family.series.isEmpty {
      line(&out, "# HELP \(name) \(escaped(family.help, quotes: false))")
      line(&out, "# TYPE \(name) \(family.kind.rawValue)")
      let sorted = family.series.sorted { $0.key.lexicographicallyPrecedes($1.key) }
      for (values, series) in sorted {
        append(series, named: name, Array(zip(family.labels, values)), to: &out)
      }
    }
    return out
  }

  private static func append(
    _ series: MetricsRegistry.Series, named name: String, _ labels: [(String, String)],
    to out: inout [UInt8]
  ) {
    switch series {
    case .counter(let counter): line(&out, "\(name)\(set(labels)) \(counter.value)")
    case .gauge(let gauge): line(&out, "\(name)\(set(labels)) \(number(gauge.value))")
    case .histogram(let histogram):
      let state = histogram.snapshot
      var total: UInt64 = 0
      for (bound, count) in zip(histogram.bounds + [.infinity], state.counts) {
        total += count
        line(&out, "\(name)_bucket\(set(labels + [("le", number(bound))])) \(total)")
      }
      line(&out, "\(name)_sum\(set(labels)) \(number(state.sum))")
      line(&out, "\(name)_count\(set(labels)) \(total)")
    }
  }

  private static func line(_ out: inout [UInt8], _ text: String) {
    out.append(contentsOf: text.utf8)
    out.append(UInt8(ascii: "\n"))
  }

  private static func set(_ labels: [(String, String)]) -> String {
    guard !labels.isEmpty else { return "" }
    let pairs = labels.map { "\($0.0)=\"\(escaped($0.1, quotes: true))\"" }
    return "{" + pairs.joined(separator: ",") + "}"
  }

  static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
    if value == value.rounded(), abs(value) < 1e15 { return String(Int64(value)) }
    return "\(value)"
  }

  /// Backslash and line feed everywhere, double quotes in label values.
  static func escaped(_ text: String, quotes: Bool) -> String {
    var out = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\"" where quotes: out += "\\\""
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out
  }
}
