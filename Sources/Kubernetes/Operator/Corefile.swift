/// CoreDNS's configuration with a server block of ours in it, between markers. Everything outside of
/// them is left as it is, byte for byte, so that taking the block out again restores what was there.
public struct Corefile: Hashable, Sendable {
  public var text: String

  static let begin = "# BEGIN starling (kept by Starling; edit outside of these lines)"
  static let end = "# END starling"

  public init(_ text: String) {
    self.text = text
  }

  /// With a block that hands `zones` on to `servers`, in place of one that was there.
  ///
  /// Zones that another server block has already are left out: two blocks with one zone keep CoreDNS
  /// from starting. No `cache`: a remembered "no such name" would outlive the service's arrival.
  public func serving(_ zones: [String], at servers: [String]) -> Corefile {
    let rest = withoutBlock
    let taken = rest.zones
    let free = zones.filter { !taken.contains($0) }
    guard !free.isEmpty, !servers.isEmpty else { return rest }
    let heads = free.map { "\($0):53" }.joined(separator: " ")
    // Where the others do not listen everywhere, ours must not either (NodeLocal DNSCache).
    let bind = rest.bind.map { "    \($0)\n" } ?? ""
    let block = """
      \(Self.begin)
      \(heads) {
      \(bind)    errors
          forward . \(servers.prefix(15).joined(separator: " ")) {
              max_concurrent 1000
          }
      }
      \(Self.end)

      """
    let needsBreak = !rest.text.isEmpty && !rest.text.hasSuffix("\n")
    return Corefile(rest.text + (needsBreak ? "\n" : "") + block)
  }

  /// Without our block. A marker without its counterpart is left for people to look at.
  public var withoutBlock: Corefile {
    guard let start = text.range(of: Self.begin),
      let stop = text.range(of: Self.end, from: start.upperBound)
    else { return self }
    var end = stop.upperBound
    if end < text.endIndex, text[end] == "\n" { end = text.index(after: end) }
    return Corefile(String(text[..<start.lowerBound] + text[end...]))
  }

  public var hasBlock: Bool { withoutBlock != self }

  /// The first statement that says where a block listens.
  private var bind: String? {
    for line in text.split(separator: "\n") {
      let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
      if words.first == "bind", words.count > 1 { return words.joined(separator: " ") }
    }
    return nil
  }

  /// Zones that server blocks name, in lower case, without ports and schemes.
  var zones: Set<String> {
    var out: Set<String> = []
    var depth = 0
    for line in text.split(separator: "\n") {
      let code = line.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)[0]
      if depth == 0 {
        let head = code.split(separator: "{", omittingEmptySubsequences: false)[0]
        for word in head.split(whereSeparator: { $0 == " " || $0 == "," || $0 == "\t" }) {
          var zone = word.lowercased()
          if let scheme = zone.range(of: "://", from: zone.startIndex) {
            zone = String(zone[scheme.upperBound...])
          }
          if let colon = zone.firstIndex(of: ":") { zone = String(zone[..<colon]) }
          if zone.hasSuffix("."), zone.count > 1 { zone.removeLast() }
          if !zone.isEmpty { out.insert(zone) }
        }
      }
      for character in code {
        if character == "{" { depth += 1 }
        if character == "}" { depth = max(0, depth - 1) }
      }
    }
    return out
  }
}

extension String {
  /// Foundation has this; the cores do without it.
  fileprivate func range(of part: String, from start: Index? = nil) -> Range<Index>? {
    var index = start ?? startIndex
    while index < endIndex {
      if self[index...].hasPrefix(part) {
        return index..<self.index(index, offsetBy: part.count)
      }
      index = self.index(after: index)
    }
    return nil
  }
}
