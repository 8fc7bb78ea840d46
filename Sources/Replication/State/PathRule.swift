internal import Base

/// Who may write a register, by the shape of its path.
///
/// By shape rather than by a list of known sections: peers of two releases must agree on what
/// counts, so a section that only the newer one reads is written under the same rule in both.
///
/// | path | scope | capability |
/// | --- | --- | --- |
/// | `cluster/<c>` | clusterset | `admit` |
/// | `cluster/<c>/...` | clusterset | `own:<c>` |
/// | `slice/<s>`, `slice/<s>/...` | clusterset | `slice:<s>` |
/// | `slice/<s>/<kind>/<c>`, `slice/<s>/<kind>/<c>/...` | slice `<s>` | `own:<c>` |
enum PathRule {
  typealias Part = Substring.UTF8View

  /// `nil`: the capabilities suffice; otherwise what is missing.
  static func missing(_ path: String, _ scope: Scope, _ capabilities: [Capability]) -> String? {
    var rest = path.utf8[...]
    guard let kind = next(&rest), let name = next(&rest) else { return "a known path" }
    switch scope {
    case .clusterset where kind.elementsEqual("cluster".utf8):
      guard rest.isEmpty else { return missingOwn(name, capabilities) }
      return capabilities.contains(.admit) ? nil : "admit"
    case .clusterset where kind.elementsEqual("slice".utf8):
      let slice = Substring(name)
      return capabilities.contains { $0.containsSlice(slice) } ? nil : "slice:\(slice)"
    case .slice(let slice)
    where kind.elementsEqual("slice".utf8) && name.elementsEqual(slice.utf8):
      guard next(&rest) != nil, let cluster = next(&rest) else { return "a known path" }
      return missingOwn(cluster, capabilities)
    default:
      return "a known path"
    }
  }

  private static func missingOwn(_ cluster: Part, _ capabilities: [Capability]) -> String? {
    for case .own(let own) in capabilities where cluster.elementsEqual(own.utf8) { return nil }
    return "own:\(Substring(cluster))"
  }

  /// Takes the part before the next slash off the front; `nil` at the end.
  static func next(_ rest: inout Part) -> Part? {
    guard !rest.isEmpty else { return nil }
    let end = rest.firstIndex(of: UInt8(ascii: "/")) ?? rest.endIndex
    let part = rest[..<end]
    rest = end == rest.endIndex ? rest[end...] : rest[rest.index(after: end)...]
    return part
  }

  /// Printable ASCII in parts between single slashes, two of them at least.
  static func isWellFormed(_ path: String) -> Bool {
    var path = path
    return path.withUTF8 { bytes in
      guard !bytes.isEmpty, bytes.count <= StateLimits.pathBytes else { return false }
      var slashes = 0
      var previous = UInt8(ascii: "/")
      for byte in bytes {
        guard byte > 0x20, byte < 0x7f else { return false }
        if byte == UInt8(ascii: "/") {
          if previous == byte { return false }
          slashes += 1
        }
        previous = byte
      }
      return slashes > 0 && previous != UInt8(ascii: "/")
    }
  }

  /// `slice/<s>/member/<c>`, `nil` of any other path.
  static func membership(_ path: String) -> (slice: String, cluster: String)? {
    var rest = path.utf8[...]
    guard next(&rest)?.elementsEqual("slice".utf8) == true, let slice = next(&rest),
      next(&rest)?.elementsEqual("member".utf8) == true, let cluster = next(&rest), rest.isEmpty
    else { return nil }
    return (String(Substring(slice)), String(Substring(cluster)))
  }

  /// `cluster/<c>`, `nil` of any other path.
  static func admission(_ path: String) -> String? {
    var rest = path.utf8[...]
    guard next(&rest)?.elementsEqual("cluster".utf8) == true, let cluster = next(&rest),
      rest.isEmpty
    else { return nil }
    return String(Substring(cluster))
  }
}
