internal import Slices

/// Which interface of which container: what the runtime calls an attachment.
public struct AttachmentID: Hashable, Comparable, Sendable, CustomStringConvertible {
  public var container: String
  public var interface: String

  public init(container: String, interface: String) {
    self.container = container
    self.interface = interface
  }

  public static let containerLimit = 200
  /// The kernel's limit for names of interfaces.
  public static let interfaceLimit = 15

  /// A letter or digit, then letters, digits, `_`, `.` and `-`.
  static func isContainer(_ text: String) -> Bool {
    isName(text) && text.utf8.count <= containerLimit
  }

  static func isName(_ text: String) -> Bool {
    guard let first = text.utf8.first, isAlphanumeric(first) else { return false }
    return text.utf8.allSatisfy { isAlphanumeric($0) || [0x5f, 0x2e, 0x2d].contains($0) }
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
  }

  /// What the kernel takes: no `/`, `:` or space, neither `.` nor `..`.
  static func isInterface(_ text: String) -> Bool {
    (1...interfaceLimit).contains(text.utf8.count) && text != "." && text != ".."
      && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x2f && $0 != 0x3a }
  }

  /// One file name for each: no container's name has an `@`.
  public var description: String { "\(container)@\(interface)" }

  public init?(_ text: String) {
    let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, Self.isContainer(String(parts[0])),
      Self.isInterface(String(parts[1]))
    else { return nil }
    self.init(container: String(parts[0]), interface: String(parts[1]))
  }

  public static func < (a: Self, b: Self) -> Bool { a.description < b.description }

  /// The node's end of the Pod's link. It follows from the attachment alone, so that whoever cleans
  /// up needs no record.
  public var device: String { Self.devicePrefix + digits(of: description, 12) }

  public static let devicePrefix = "sp"

  /// Of the Pod's end: locally administered, and the same at every repetition.
  public var hardwareAddress: [UInt8] {
    let hash = StableHash.of("mac/\(description)")
    return [0x02] + (0..<5).map { UInt8(truncatingIfNeeded: hash >> UInt64(8 * $0)) }
  }

  private func digits(of text: String, _ count: Int) -> String {
    let hash = String(StableHash.of(text), radix: 16)
    return String((String(repeating: "0", count: 16 - hash.utf8.count) + hash).prefix(count))
  }
}
