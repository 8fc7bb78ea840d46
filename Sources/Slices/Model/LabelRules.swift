/// What Kubernetes takes as labels and annotations; what comes from other clusters is held to it, since
/// one bad value would make the server refuse the whole object.
public enum LabelRules {
  /// A name of at most 63, perhaps behind a DNS prefix and a slash.
  public static func isKey(_ text: String) -> Bool {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count <= 2, let name = parts.last, !name.isEmpty, isName(name) else { return false }
    guard parts.count == 2 else { return true }
    return parts[0].utf8.count <= 253 && !parts[0].isEmpty
      && parts[0].split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
        (1...63).contains(label.utf8.count) && isName(label)
          && label.utf8.allSatisfy { !(0x41...0x5a).contains($0) && $0 != 0x5f }
      }
  }

  public static func isValue(_ text: String) -> Bool { text.isEmpty || isName(text[...]) }

  private static func isName(_ text: Substring) -> Bool {
    guard text.utf8.count <= 63, let first = text.utf8.first, let last = text.utf8.last else {
      return false
    }
    return isAlphanumeric(first) && isAlphanumeric(last)
      && text.utf8.allSatisfy { isAlphanumeric($0) || $0 == 0x2d || $0 == 0x5f || $0 == 0x2e }
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
  }
}
