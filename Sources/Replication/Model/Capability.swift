/// What a grant lets its subject do. Written `grant`, `admit`, `read`, `slice:<glob>`,
/// `own:<cluster>`, `enrol:<cluster>`.
public enum Capability: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Make grants of what one holds, and floors on them.
  case grant
  /// Admit clusters: write `cluster/<c>`, grant `own:` and `enrol:`.
  case admit
  /// Read the API over the network.
  case read
  /// Write the sections of slices whose name matches: a name, or a prefix followed by `*`.
  case slice(String)
  /// Write what a cluster says of itself. A peer's grant holds exactly this.
  case own(String)
  /// A join token: grant `own:` of that cluster, once.
  case enrol(String)

  public init?(_ text: String) {
    func rest(_ prefix: String) -> String? {
      text.hasPrefix(prefix) && text.utf8.count > prefix.utf8.count
        ? String(text.dropFirst(prefix.count)) : nil
    }
    switch text {
    case "grant": self = .grant
    case "admit": self = .admit
    case "read": self = .read
    default:
      if let glob = rest("slice:") {
        self = .slice(glob)
      } else if let cluster = rest("own:") {
        self = .own(cluster)
      } else if let cluster = rest("enrol:") {
        self = .enrol(cluster)
      } else {
        return nil
      }
    }
  }

  public var description: String {
    switch self {
    case .grant: "grant"
    case .admit: "admit"
    case .read: "read"
    case .slice(let glob): "slice:\(glob)"
    case .own(let cluster): "own:\(cluster)"
    case .enrol(let cluster): "enrol:\(cluster)"
    }
  }
}
