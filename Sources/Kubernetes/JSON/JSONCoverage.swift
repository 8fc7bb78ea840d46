extension JSON {
  /// Whether this value already holds everything that `wanted` says.
  ///
  /// An object may have more members than are wanted: the server and others fill in theirs. A list
  /// has to have as many items, each covering the wanted one at its place: lists that are written
  /// here are atomic or wholly ours. An absent member covers an empty list or object, since servers
  /// drop these.
  public func covers(_ wanted: JSON) -> Bool {
    switch (self, wanted) {
    case (.object, .object(let members)):
      return members.allSatisfy { member in
        guard let own = self[member.name] else { return member.value.isEmptyContainer }
        return own.covers(member.value)
      }
    case (.array(let items), .array(let others)):
      return items.count == others.count && zip(items, others).allSatisfy { $0.covers($1) }
    case (.integer, .number), (.number, .integer):
      return integer != nil && integer == wanted.integer
    default: return self == wanted
    }
  }

  private var isEmptyContainer: Bool {
    switch self {
    case .array(let items): items.isEmpty
    case .object(let members): members.isEmpty
    case .null: true
    default: false
    }
  }
}
