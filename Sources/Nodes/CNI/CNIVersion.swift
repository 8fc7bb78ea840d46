/// Versions of the CNI specification that the plugin speaks.
public enum CNIVersion: String, CaseIterable, Hashable, Comparable, Sendable {
  case v031 = "0.3.1"
  case v040 = "0.4.0"
  case v100 = "1.0.0"
  case v110 = "1.1.0"

  public static func < (a: Self, b: Self) -> Bool { a.order < b.order }

  private var order: Int { Self.allCases.firstIndex(of: self) ?? 0 }

  /// Up to 0.4.0 each address says its family.
  var addressesSayFamily: Bool { self < .v100 }

  public static let newest = CNIVersion.v110
}

/// `CNI_COMMAND`.
public enum CNIVerb: String, CaseIterable, Hashable, Sendable {
  case add = "ADD"
  case check = "CHECK"
  case delete = "DEL"
  case collect = "GC"
  case status = "STATUS"
  case version = "VERSION"

  /// The first version of the specification that has it.
  public var since: CNIVersion {
    switch self {
    case .add, .delete, .version: .v031
    case .check: .v040
    case .collect, .status: .v110
    }
  }
}
