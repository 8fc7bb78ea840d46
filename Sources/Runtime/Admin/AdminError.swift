/// Why a command of `starling` did not do what was asked: what happened, and what to do about it.
public struct AdminError: Error, CustomStringConvertible {
  /// Exit codes, documented in `docs/cli.md`.
  public enum Code: Int32, Sendable {
    /// Refused or failed.
    case failed = 1
    /// The input is not valid; nothing was sent.
    case invalid = 2
    /// No peer answered.
    case unreachable = 3
    /// Not everyone confirmed in time.
    case timedOut = 4
    /// The state has moved since it was read (`--if-unchanged`), or nothing may be overwritten.
    case conflict = 5
  }

  public var code: Code
  public var message: String
  public var fix: String

  public init(_ code: Code, _ message: String, fix: String = "") {
    self.code = code
    self.message = message
    self.fix = fix
  }

  public var description: String { fix.isEmpty ? message : "\(message)\n  \(fix)" }
}
