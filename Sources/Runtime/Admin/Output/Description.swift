/// Names and values below one another, in sections: what `describe` prints.
public struct Description: Hashable, Sendable {
  private enum Item: Hashable, Sendable {
    case field(String, Table.Cell)
    case section(String)
    case block(String)
  }

  private var items: [Item] = []

  public init() {}

  public mutating func field(_ name: String, _ value: String?, _ tone: TextStyle.Tone = .plain) {
    guard let value, !value.isEmpty else { return }
    items.append(.field(name, Table.Cell(value, tone)))
  }

  /// Left out where there is nothing in it.
  public mutating func table(_ title: String, _ table: Table, style: TextStyle) {
    guard !table.rows.isEmpty else { return }
    items.append(.section(title))
    items.append(.block(table.text(wide: false, style: style)))
  }

  public mutating func lines(_ title: String, _ lines: [String]) {
    guard !lines.isEmpty else { return }
    items.append(.section(title))
    items.append(.block(lines.joined(separator: "\n") + "\n"))
  }

  public func text(style: TextStyle) -> String {
    let width = items.reduce(0) {
      if case .field(let name, _) = $1 { max($0, name.count) } else { $0 }
    }
    var out = ""
    for item in items {
      switch item {
      case .field(let name, let cell):
        let padding = String(repeating: " ", count: width - name.count + 2)
        out += "\(name):\(padding)\(style(cell.tone, cell.text))\n"
      case .section(let title): out += "\n" + style(.strong, title) + "\n"
      case .block(let text):
        out += text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
          .map { $0.isEmpty ? "\n" : "  \($0)\n" }.joined()
      }
    }
    return out
  }
}
