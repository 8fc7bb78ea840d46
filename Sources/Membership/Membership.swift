public import Base

/// SWIM (Das et al., DSN 2002) with Lifeguard (Dadgar et al., 2018), hardened: see `handle`.
public struct Membership: Sendable {
  let identity: MemberIdentity
  let crypto: Crypto
  let configuration: Configuration
  var rng: SeededGenerator

  public init(
    identity: MemberIdentity, crypto: Crypto, configuration: Configuration, seed: UInt64
  ) {
    self.identity = identity
    self.crypto = crypto
    self.configuration = configuration
    rng = SeededGenerator(seed: seed)
  }

  /// When `tick` is due; may be early, never late.
  public private(set) var nextDeadline: Instant = .distantFuture

  public mutating func handle(_ input: Input, now: Now, effects: inout [Effect]) {
  }
}
