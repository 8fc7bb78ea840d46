public import Base
public import Replication

/// What happens to what was made under a grant when the grant ends.
public enum KeepChoice: Hashable, Sendable {
  case all
  case none
  /// IDs, or their first digits.
  case these([String])
}

/// The end of a grant: what lives under it, and what of that stays.
public struct Revocation: Hashable, Sendable {
  public var detail: APIGrantDetail

  public init(_ detail: APIGrantDetail) {
    self.detail = detail
  }

  /// Changesets directly under the grant that a keep list can name, each once: what they carry further
  /// down is kept with them.
  public var candidates: [Digest] {
    let grants = detail.subtree.filter { $0.under == detail.grant.id && $0.state != .void }
    return Set(detail.live.map(\.id) + grants.map(\.id)).sorted()
  }

  /// The grants under which this one may be ended.
  public var need: NeededRight {
    var above = Set(detail.chain.map(\.id))
    // The subject may end its own grant, unless it is a token.
    if !isToken { above.insert(detail.grant.id) }
    return .floor(on: detail.grant.id, by: above)
  }

  public var isToken: Bool {
    detail.grant.capabilities.contains { if case .enrol = $0 { true } else { false } }
  }

  /// The floor that ends the grant.
  public func floor(keeping choice: KeepChoice) throws(AdminError) -> Floor {
    let keep: [Digest]
    switch choice {
    case .all: keep = candidates
    case .none: keep = []
    case .these(let names): keep = try Self.resolve(names, among: candidates)
    }
    guard keep.count <= StateLimits.keepIDs else {
      throw AdminError(
        .failed,
        "\(keep.count) changesets live under \(detail.grant.id.short); a floor can keep "
          + "\(StateLimits.keepIDs)",
        fix: "Apply the manifests again with another key first, so that they no longer hang under "
          + "this one.")
    }
    return Floor(grant: detail.grant.id, time: .max, keep: keep)
  }

  static func resolve(_ names: [String], among ids: [Digest]) throws(AdminError) -> [Digest] {
    var out: Set<Digest> = []
    for name in names {
      let matches = ids.filter { $0.hex.hasPrefix(name.lowercased()) }
      guard matches.count == 1, name.utf8.count >= 4 else {
        throw .usage(
          matches.isEmpty
            ? "nothing that begins with \(name) lives under this grant"
            : "\(name) is not enough to tell \(matches.count) changesets apart",
          fix: "The list above has the IDs.")
      }
      out.insert(matches[0])
    }
    return out.sorted()
  }

  /// What lives under the grant, and what of it would stay.
  public func table(keeping choice: KeepChoice?, now: APITime) -> Table {
    let kept: Set<Digest>? = choice.flatMap { try? Set(floor(keeping: $0).keep) }
    var table = Table(
      [.init("ID"), .init("MADE"), .init("WHAT"), .init("FATE")],
      ifEmpty: "Nothing lives under it.")
    func fate(_ id: Digest) -> Table.Cell {
      guard let kept else { return "?" }
      return kept.contains(id) ? Table.Cell("kept", .good) : Table.Cell("ends", .bad)
    }
    for changeset in detail.live {
      table.rows.append([
        "\(changeset.id.short)", Table.Cell(Age.text(changeset.at, now: now)),
        Table.Cell(ChangesetSummary.text(changeset)), fate(changeset.id),
      ])
    }
    let shown = Set(detail.live.map(\.id))
    for grant in detail.subtree where !shown.contains(grant.id) && grant.state != .void {
      let indirect = grant.under != detail.grant.id
      table.rows.append([
        "\(grant.id.short)", Table.Cell(Age.text(grant.at, now: now)),
        Table.Cell(
          "grants \(ChangesetSummary.capabilities(grant.capabilities)) to "
            + (grant.subject?.short ?? "the root") + " (\(grant.changesets) changesets)"),
        indirect ? "as what it hangs under" : fate(grant.id),
      ])
    }
    return table
  }
}

/// Finds grants by what a person types: a key, a grant's ID, or the first digits of either.
public enum GrantLookup {
  public static func find(_ text: String, in grants: [APIGrant]) throws(AdminError) -> [APIGrant] {
    let text = text.lowercased()
    guard text.utf8.count >= 6, text.utf8.allSatisfy({ "0123456789abcdef".utf8.contains($0) })
    else {
      throw .usage(
        "\"\(text)\" is neither a key nor a grant",
        fix: "Give at least 6 hexadecimal digits; `starling get grants` shows them.")
    }
    let byID = grants.filter { $0.id.hex.hasPrefix(text) }
    let byKey = grants.filter { $0.subject?.hex.hasPrefix(text) ?? false }
    let keys = Set(byKey.compactMap(\.subject))
    guard byID.count + keys.count == 1 else {
      throw AdminError(
        .failed,
        byID.isEmpty && keys.isEmpty
          ? "no grant and no key begins with \(text)"
          : "\(text) is not enough to tell \(byID.count + keys.count) grants and keys apart",
        fix: "`starling get grants -o wide` shows them all.")
    }
    return byID.isEmpty ? byKey : byID
  }
}
