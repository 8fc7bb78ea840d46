internal import Glibc

/// What is known of the terminal, if there is one.
public struct Terminal: Hashable, Sendable {
  public enum Stream: Int32, Sendable {
    case input = 0
    case output = 1
    case error = 2
  }

  public static func isTerminal(_ stream: Stream) -> Bool {
    isatty(stream.rawValue) == 1
  }

  /// Columns of the terminal that standard error goes to, 80 where it does not say.
  public static var columns: Int {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }

  public static func write(_ text: String, to stream: Stream) {
    let bytes = Array(text.utf8)
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes { buffer in
        Glibc.write(stream.rawValue, buffer.baseAddress.map { $0 + sent }, bytes.count - sent)
      }
      if count < 0, errno == EINTR { continue }
      if count <= 0 { return }
      sent += count
    }
  }

  /// Asks on the terminal itself, so that it works while standard input is a manifest. `nil` where
  /// there is no terminal or the line ended at once.
  static func ask(_ prompt: String, echo: Bool) -> String? {
    let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)
    guard terminal >= 0 else { return nil }
    defer { close(terminal) }
    var before = termios()
    let silenced = !echo && tcgetattr(terminal, &before) == 0
    if silenced {
      var quiet = before
      quiet.c_lflag &= ~tcflag_t(ECHO)
      tcsetattr(terminal, TCSAFLUSH, &quiet)
    }
    defer {
      if silenced {
        tcsetattr(terminal, TCSAFLUSH, &before)
        _ = Glibc.write(terminal, "\n", 1)
      }
    }
    _ = Array(prompt.utf8).withUnsafeBytes { Glibc.write(terminal, $0.baseAddress, $0.count) }
    return readLine(from: terminal)
  }

  static let lineLimit = 4096

  private static func readLine(from file: Int32) -> String? {
    var bytes: [UInt8] = []
    var byte: UInt8 = 0
    while bytes.count < lineLimit {
      let count = read(file, &byte, 1)
      if count < 0, errno == EINTR { continue }
      guard count == 1 else { return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self) }
      if byte == UInt8(ascii: "\n") { break }
      bytes.append(byte)
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// Colours, where they are wanted: on a terminal, unless `NO_COLOR` is set (no-color.org).
public struct TextStyle: Hashable, Sendable {
  public enum Tone: String, Sendable {
    case plain = ""
    case good = "32"
    case warning = "33"
    case bad = "31"
    case faint = "2"
    case strong = "1"
  }

  public var isColoured: Bool

  public init(isColoured: Bool) {
    self.isColoured = isColoured
  }

  public static let plain = TextStyle(isColoured: false)

  public init(for stream: Terminal.Stream, environment: [String: String], wanted: Bool = true) {
    isColoured =
      wanted && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
      && Terminal.isTerminal(stream)
  }

  public func callAsFunction(_ tone: Tone, _ text: String) -> String {
    isColoured && tone != .plain && !text.isEmpty
      ? "\u{1b}[\(tone.rawValue)m\(text)\u{1b}[0m" : text
  }
}
