/// How a command ends, so that scripts can tell.
public enum ExitStatus: Int32, CaseIterable, Hashable, Sendable {
  case ok = 0
  /// Refused by a peer, not allowed, or it failed.
  case failed = 1
  /// The command line or a document is not valid; nothing was sent.
  case usage = 2
  case unreachable = 3
  /// It was sent, and what was waited for did not happen in time.
  case timedOut = 4
  /// `--if-unchanged`: somebody else changed it first.
  case moved = 5
  /// `diff`: there are differences.
  case differs = 6

  public var summary: String {
    switch self {
    case .ok: "done"
    case .failed: "refused, not allowed, or failed"
    case .usage: "the command line or a file is not valid; nothing was sent"
    case .unreachable: "no peer could be reached"
    case .timedOut: "sent, and not confirmed everywhere in time"
    case .moved: "--if-unchanged: it was changed by somebody else meanwhile"
    case .differs: "diff: there are differences"
    }
  }
}

/// Why a command failed: what happened and where, and what to do about it.
public struct AdminError: Error, Hashable, Sendable, CustomStringConvertible {
  public var status: ExitStatus
  /// One line, or several of equal weight (all errors of a manifest).
  public var message: String
  /// Empty where nothing can be done.
  public var fix: String

  public init(_ status: ExitStatus = .failed, _ message: String, fix: String = "") {
    self.status = status
    self.message = message
    self.fix = fix
  }

  public static func usage(_ message: String, fix: String = "") -> AdminError {
    AdminError(.usage, message, fix: fix)
  }

  public var description: String { fix.isEmpty ? message : "\(message)\n\(fix)" }

  /// Any error that a command may end with. Errors of this project say themselves what is wrong.
  public static func from(_ error: any Error) -> AdminError {
    switch error {
    case let error as AdminError: error
    case let error as LocatedError: .usage(error.description)
    case let error as KeyFileError: AdminError(.failed, error.description)
    case let error as StorageError: AdminError(.failed, error.description)
    case is CancellationError: AdminError(.failed, "interrupted")
    default: AdminError(.failed, "\(error)")
    }
  }
}
