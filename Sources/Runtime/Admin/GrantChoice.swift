public import Base
public import Replication

/// Picks the grant under which a key may do something.
public enum GrantChoice {
  /// - Parameter sufficient: whether a grant's capabilities allow what is to be done.
  public static func grant(
    for key: PublicKey, in grants: APIGrants, to what: String,
    where sufficient: ([Capability]) -> Bool
  ) throws(AdminError) -> Digest {
    let valid = grants.grants.filter { $0.state == .valid }
    if let root = valid.first(where: { $0.rootKeys?.contains(key) == true }) { return root.id }
    let own = valid.filter { $0.subject == key }
    if let fitting = own.first(where: { sufficient($0.capabilities) }) { return fitting.id }
    guard own.isEmpty else {
      let held = own.flatMap(\.capabilities).map(\.description).joined(separator: ", ")
      throw AdminError(
        .failed, "the key \(key.short) may not \(what): it holds \(held)",
        fix: "Use another key, or have this one granted more.")
    }
    throw AdminError(
      .failed, "the key \(key.short) holds no grant that counts, so it may not \(what)",
      fix: "Use the key of an admin, or have this one granted: starling grant \(key.hex) ...")
  }
}
