/// What a changeset belongs to, and so who replicates it: everyone, or a slice's members.
public enum Scope: Hashable, Comparable, Sendable, CustomStringConvertible {
  case clusterset
  case slice(String)

  public init?(_ text: String) {
    if text == "clusterset" {
      self = .clusterset
    } else if text.hasPrefix("slice/"), text.utf8.count > 6 {
      self = .slice(String(text.dropFirst(6)))
    } else {
      return nil
    }
  }

  public var description: String {
    switch self {
    case .clusterset: "clusterset"
    case .slice(let name): "slice/\(name)"
    }
  }
}
