public import Base
public import Replication

/// The peers that enrolled under one join token. One is right; more than one means that it was copied.
public struct Enrolments: Hashable, Sendable {
  public var token: APIGrant
  /// By time.
  public var enrolled: [APIGrant]

  /// `nil` where there is no such token.
  public init?(under token: Digest, in grants: [APIGrant]) {
    guard let grant = grants.first(where: { $0.id == token }) else { return nil }
    self.token = grant
    enrolled = grants.filter { $0.under == token && $0.state != .void }
      .sorted { ($0.hlc.rawValue, $0.id) < ($1.hlc.rawValue, $1.id) }
  }

  /// Ends the token and keeps one enrolment.
  public func seal(keeping enrolment: Digest) -> Floor {
    Floor(grant: token.id, time: .max, keep: [enrolment])
  }

  /// What both sides compare: the peer's key as `join` prints it there.
  public static func fingerprint(_ key: PublicKey) -> String {
    let digits = Array(Sodium.sha256(key.bytes).hex.prefix(32))
    return stride(from: 0, to: digits.count, by: 4).map { String(digits[$0..<$0 + 4]) }
      .joined(separator: "-")
  }
}
