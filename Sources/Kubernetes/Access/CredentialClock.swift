public import Base

/// When credentials have to be fetched again: before they expire, once they were refused, and for
/// files after a minute. Refusals do not run a plugin in a loop.
public struct CredentialClock: Hashable, Sendable {
  public enum Kind: Hashable, Sendable {
    /// Never changes.
    case fixed
    /// Somebody replaces the file.
    case file
    /// A plugin answered.
    case exec
  }

  public let kind: Kind
  private var fetchedAt: Instant?
  private var expiresMilliseconds: UInt64?
  private var isRefused = false
  private var refusals = 0

  /// How long what a file held is used. Kubelets replace a token at four fifths of its life, an hour
  /// or more.
  public static let fileAge: Duration = .seconds(60)
  /// Before the expiry, so that no request travels with what expires on its way.
  public static let margin: Duration = .seconds(30)
  /// Between two runs of a plugin after refusals; doubles up to `longestPause`.
  static let firstPause: Duration = .seconds(1)
  static let longestPause: Duration = .seconds(300)

  public init(_ kind: Kind) {
    self.kind = kind
  }

  public func isDue(_ now: Now) -> Bool {
    guard let fetchedAt else { return true }
    let age = now.instant - fetchedAt
    switch kind {
    case .fixed: return false
    case .file: return isRefused || age >= Self.fileAge
    case .exec:
      if isRefused { return age >= pause }
      guard let expiresMilliseconds else { return false }
      let margin = UInt64(Self.margin.nanoseconds / 1_000_000)
      // What is handed out with less life than the margin is used, not fetched for ever.
      return now.wallMilliseconds + margin >= expiresMilliseconds && age >= Self.firstPause
    }
  }

  private var pause: Duration {
    min(Self.firstPause * (1 << min(refusals, 12)), Self.longestPause)
  }

  public mutating func fetched(_ now: Now, expiresMilliseconds: UInt64? = nil) {
    fetchedAt = now.instant
    self.expiresMilliseconds = expiresMilliseconds
    isRefused = false
  }

  /// The server said 401.
  public mutating func refused() {
    if !isRefused { refusals += 1 }
    isRefused = true
  }

  /// The server took them.
  public mutating func accepted() {
    refusals = 0
    isRefused = false
  }
}
