internal import Base

extension Changeset {
  /// What can be said from the changeset alone: who fails here is refused by everyone, for ever.
  var malformation: Malformation? {
    if body.count > Self.maximumBytes { return .tooLarge }
    if writes.count > Self.maximumWrites || floors.count > Self.maximumWrites {
      return .tooManyWrites
    }
    if message.utf8.count > StateLimits.messageBytes { return .message }
    if endorsements.isEmpty || endorsements.count > StateLimits.endorsements { return .signatures }
    return trustMalformation ?? writesMalformation
  }

  private var trustMalformation: Malformation? {
    if let rootChange {
      if grant != nil || !writes.isEmpty || !floors.isEmpty { return .mixedTrust }
      if !rootChange.root.isWellFormed { return .rootKeys }
      if !rootChange.keep.isStrictlyAscending { return .keepOrder }
    } else if grant == nil && writes.isEmpty && floors.isEmpty {
      return .empty
    }
    if let grant {
      let capabilities = grant.capabilities
      if capabilities.isEmpty || capabilities.count > StateLimits.capabilities
        || !capabilities.isStrictlyAscending
      {
        return .capabilities
      }
      if !(0...StateLimits.delegationDepth).contains(grant.delegationDepth) {
        return .delegationDepth
      }
    }
    for floor in floors {
      if floor.keep.count > StateLimits.keepIDs || !floor.keep.isStrictlyAscending {
        return .keepOrder
      }
    }
    if scope != .clusterset,
      grant != nil || rootChange != nil || floors.contains(where: { $0.grant != under })
    {
      return .trustOutsideClusterSet
    }
    return nil
  }

  private var writesMalformation: Malformation? {
    for write in writes {
      if !PathRule.isWellFormed(write.path) { return .path(write.path) }
      if write.context.entries.count > StateLimits.contextAuthors {
        return .context(path: write.path)
      }
      // This makes "covers" transitive for one author, on which forgetting rests.
      let seen = write.context[author]
      if seen >= StateLimits.counter || write.counter != seen + 1 {
        return .counter(path: write.path)
      }
    }
    guard writes.count > 1 else { return nil }
    if writes.count <= 8 {
      for (i, write) in writes.enumerated() {
        for other in writes[..<i] where other.path == write.path {
          return .repeatedPath(write.path)
        }
      }
      return nil
    }
    var seen = Set<String>(minimumCapacity: writes.count)
    for write in writes where !seen.insert(write.path).inserted {
      return .repeatedPath(write.path)
    }
    return nil
  }
}

extension RootKeys {
  var isWellFormed: Bool {
    !keys.isEmpty && keys.count * 2 <= StateLimits.endorsements && keys.isStrictlyAscending
      && (1...keys.count).contains(threshold)
  }
}

extension Array where Element: Comparable {
  var isStrictlyAscending: Bool {
    var previous: Element?
    for element in self {
      if let previous, previous >= element { return false }
      previous = element
    }
    return true
  }

  /// Binary search in an ascending array.
  func containsSorted(_ element: Element) -> Bool {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if self[middle] < element { low = middle + 1 } else { high = middle }
    }
    return low < count && self[low] == element
  }
}
