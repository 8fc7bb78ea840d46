/// One line that is drawn over and over while clusters confirm.
public struct ProgressBar: Hashable, Sendable {
  public var total: Int
  public var done: Int
  /// What is still waited for, ascending.
  public var waiting: [String]
  public var elapsedMilliseconds: Double

  public init(total: Int, done: Int = 0, waiting: [String] = [], elapsedMilliseconds: Double = 0) {
    self.total = total
    self.done = done
    self.waiting = waiting
    self.elapsedMilliseconds = elapsedMilliseconds
  }

  /// `[████████        ] 2/3 clusters  183 ms  waiting for: c`, cut to `columns`.
  public func line(columns: Int) -> String {
    let width = max(8, min(32, columns - 40))
    let filled = total == 0 ? width : done * width / total
    let bar =
      String(repeating: "█", count: min(width, filled))
      + String(repeating: " ", count: max(0, width - filled))
    var text = "[\(bar)] \(done)/\(total) clusters  \(Self.milliseconds(elapsedMilliseconds))"
    if !waiting.isEmpty { text += "  waiting for: " + waiting.joined(separator: ", ") }
    return text.count < columns ? text : String(text.prefix(max(0, columns - 2))) + "…"
  }

  /// The line, in the place of the one before.
  public func redraw(columns: Int) -> String {
    "\r\u{1b}[K" + line(columns: columns)
  }

  public static let clear = "\r\u{1b}[K"

  /// `183 ms`, `12.4 s`.
  public static func milliseconds(_ value: Double) -> String {
    guard value >= 10_000 else { return "\(Int(value.rounded())) ms" }
    return "\((value / 100).rounded() / 10) s"
  }
}
