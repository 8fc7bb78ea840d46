/// Rows under headings, for people.
public struct Table: Hashable, Sendable {
  public struct Column: Hashable, Sendable {
    public var title: String
    /// Shown with `-o wide` alone.
    public var isWide: Bool
    public var isRight: Bool

    public init(_ title: String, wide: Bool = false, right: Bool = false) {
      self.title = title
      isWide = wide
      isRight = right
    }
  }

  public struct Cell: Hashable, Sendable, ExpressibleByStringLiteral,
    ExpressibleByStringInterpolation
  {
    public var text: String
    public var tone: TextStyle.Tone

    public init(_ text: String, _ tone: TextStyle.Tone = .plain) {
      self.text = text
      self.tone = tone
    }

    public init(stringLiteral value: String) {
      self.init(value)
    }

    /// A dash for what is absent: an empty cell looks like a mistake.
    public init(_ text: String?) {
      self.init(text.flatMap { $0.isEmpty ? nil : $0 } ?? "-")
    }
  }

  public var columns: [Column]
  public var rows: [[Cell]]
  /// Instead of headings over nothing.
  public var ifEmpty: String

  public init(_ columns: [Column], ifEmpty: String, rows: [[Cell]] = []) {
    self.columns = columns
    self.ifEmpty = ifEmpty
    self.rows = rows
  }

  /// Ends with a newline.
  public func text(wide: Bool, style: TextStyle = .plain) -> String {
    guard !rows.isEmpty else { return ifEmpty + "\n" }
    let shown = columns.indices.filter { wide || !columns[$0].isWide }
    let widths = shown.map { index in
      rows.reduce(columns[index].title.count) {
        max($0, index < $1.count ? $1[index].text.count : 0)
      }
    }
    var lines = [line(shown.map { Cell(columns[$0].title, .strong) }, shown, widths, style)]
    for row in rows {
      lines.append(line(shown.map { $0 < row.count ? row[$0] : "" }, shown, widths, style))
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private func line(
    _ cells: [Cell], _ shown: [Int], _ widths: [Int], _ style: TextStyle
  ) -> String {
    var out = ""
    for (position, cell) in cells.enumerated() {
      // One control character in a name must not move a reader's terminal.
      let text = String(cell.text.map { $0.isNewline || $0 < " " ? "?" : $0 })
      let padding = String(repeating: " ", count: max(0, widths[position] - text.count))
      let isLast = position == cells.count - 1
      let isRight = columns[shown[position]].isRight
      out += (isRight ? padding : "") + style(cell.tone, text) + (isRight || isLast ? "" : padding)
      if !isLast { out += "  " }
    }
    return out
  }
}
