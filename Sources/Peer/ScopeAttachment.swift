internal import Base
internal import Membership
internal import Replication

/// Set digests on their way in pings: a few scopes a time, in turn, so that an idle probe stays
/// small and every shared scope is compared every few seconds.
///
/// Form: per scope 4 bytes that name it (the leading bytes of the hash of its name) and its 16-byte
/// set digest. The name only picks among scopes that both hold; a clash costs a needless comparison.
struct ScopeAttachment {
  static let scopesPerPing = 2
  private var turn = 0

  /// Digests for the next ping; `scopes` are those shared with its receiver, ascending.
  mutating func next(
    _ scopes: [Scope], digest: (Scope) -> SetDigest, name: (Scope) -> UInt32
  ) -> [UInt8] {
    guard !scopes.isEmpty else { return [] }
    var writer = ByteWriter(reserving: Self.scopesPerPing * 20)
    for _ in 0..<min(Self.scopesPerPing, scopes.count) {
      turn = (turn + 1) % scopes.count
      let scope = scopes[turn]
      writer.u32(name(scope))
      writer.raw(digest(scope).bytes)
    }
    return writer.bytes
  }

  static func read(_ bytes: [UInt8]) throws(WireError) -> [(name: UInt32, digest: SetDigest)] {
    guard bytes.count.isMultiple(of: 20), bytes.count <= Membership.attachmentLimit else {
      throw .malformed("digests")
    }
    var reader = ByteReader(bytes)
    var out: [(UInt32, SetDigest)] = []
    while reader.remaining > 0 {
      let name = try reader.u32()
      guard let digest = SetDigest(bytes: try reader.bytes(16)) else { throw .malformed("digests") }
      out.append((name, digest))
    }
    return out
  }
}
