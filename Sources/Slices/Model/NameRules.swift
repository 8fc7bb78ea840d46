/// The names that people give: clusters, slices, namespaces, services.
public enum NameRules {
  /// Where services of a ClusterSet have their names (KEP-1645).
  public static let clustersetZone = "clusterset.local"

  /// What a DNS label may be, as a sentence for error messages.
  public static let labelRule =
    "a DNS label: 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or a digit"

  /// A lower-case DNS label (RFC 1123 section 2.1): names of clusters, slices and namespaces.
  public static func isLabel(_ text: String) -> Bool {
    let bytes = text.utf8
    guard (1...63).contains(bytes.count), let first = bytes.first, let last = bytes.last,
      first != UInt8(ascii: "-"), last != UInt8(ascii: "-")
    else { return false }
    return bytes.allSatisfy { isLabelByte($0) }
  }

  /// Labels joined by dots, at most 253 bytes: names that a service answers to besides its own.
  public static func isDomain(_ text: String) -> Bool {
    text.utf8.count <= 253
      && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy {
        isLabel(String($0))
      }
  }

  /// A port name of Kubernetes (RFC 6335 section 5.1): a label of at most 15 with a letter in it.
  public static func isPortName(_ text: String) -> Bool {
    isLabel(text) && text.utf8.count <= 15
      && text.utf8.contains { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) }
  }

  private static func isLabelByte(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
      || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
  }

  /// Namespaces of the cluster's own machinery never take part in a slice.
  public static func isSystemNamespace(_ namespace: String) -> Bool {
    namespace.hasPrefix("kube-")
  }

  /// The candidate that a mistyped name most likely means, `nil` where none is near.
  public static func nearest(to name: String, among candidates: [String]) -> String? {
    let typed = Array(name.lowercased().utf8.prefix(64))
    var best: (distance: Int, name: String)?
    for candidate in candidates.sorted() {
      let distance = editDistance(typed, Array(candidate.lowercased().utf8.prefix(64)))
      let bound = max(1, min(typed.count, candidate.utf8.count) / 3)
      if distance <= bound, distance < best?.distance ?? .max { best = (distance, candidate) }
    }
    return best?.name
  }

  /// Levenshtein distance with one row of memory.
  private static func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var row = Array(0...b.count)
    for (i, x) in a.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, y) in b.enumerated() {
        let cost = min(row[j] + 1, row[j + 1] + 1, diagonal + (x == y ? 0 : 1))
        diagonal = row[j + 1]
        row[j + 1] = cost
      }
    }
    return row[b.count]
  }
}
