internal import Glibc

/// One line that is drawn over itself on a terminal, and nothing where there is none.
public final class ProgressBar {
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private let width = 30

  public init() {}

  public func show(_ done: Int, of total: Int, _ unit: String) {
    guard isTerminal else { return }
    let filled = total == 0 ? width : width * done / total
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
    emit("\r[\(bar)] \(done)/\(total) \(unit)")
  }

  public func clear() {
    guard isTerminal else { return }
    emit("\r" + String(repeating: " ", count: width + 40) + "\r")
  }

  private func emit(_ text: String) {
    _ = text.withCString { write(STDERR_FILENO, $0, strlen($0)) }
  }
}
