/// A length of time as manifests write it: `24h`, `10m`, `1h30m`, `2s`, `500ms`.
public struct TimeSpan: Hashable, Comparable, Sendable, CustomStringConvertible {
  public var milliseconds: Int64

  public init(milliseconds: Int64) {
    self.milliseconds = milliseconds
  }

  public static func seconds(_ count: Int64) -> TimeSpan {
    TimeSpan(milliseconds: count &* 1000)
  }

  public static let rule = "a duration such as 24h, 90m, 1h30m, 2s or 500ms"

  private static let units: [(name: String, milliseconds: Int64)] = [
    ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
  ]

  /// `nil` unless it is numbers with units, each unit once, from the greatest to the smallest.
  public init?(_ text: some StringProtocol) {
    var total: Int64 = 0
    var rest = Array(text.utf8)[...]
    var last = Int64.max
    guard !rest.isEmpty, rest.count <= 32 else { return nil }
    while !rest.isEmpty {
      let digits = rest.prefix { (48...57).contains($0) }
      rest = rest.dropFirst(digits.count)
      let letters = rest.prefix { !(48...57).contains($0) }
      rest = rest.dropFirst(letters.count)
      let name = String(decoding: letters, as: UTF8.self)
      guard let count = Int64(String(decoding: digits, as: UTF8.self)),
        let unit = Self.units.first(where: { $0.name == name }), unit.milliseconds < last
      else { return nil }
      last = unit.milliseconds
      let (product, overflow) = count.multipliedReportingOverflow(by: unit.milliseconds)
      let (sum, carry) = total.addingReportingOverflow(product)
      guard !overflow, !carry else { return nil }
      total = sum
    }
    milliseconds = total
  }

  public static func < (a: TimeSpan, b: TimeSpan) -> Bool { a.milliseconds < b.milliseconds }

  /// The shortest form that reads back the same. Days are written in hours, as `24h` is.
  public var description: String {
    guard milliseconds > 0 else { return "0s" }
    var (out, rest) = ("", milliseconds)
    for unit in Self.units.dropFirst() where rest >= unit.milliseconds {
      out += "\(rest / unit.milliseconds)\(unit.name)"
      rest %= unit.milliseconds
    }
    return out
  }
}
