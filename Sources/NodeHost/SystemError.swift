internal import Glibc

/// A call of the system that failed.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
  public var what: String
  public var number: Int32

  public init(_ what: String, _ number: Int32) {
    self.what = what
    self.number = number
  }

  /// With the `errno` of the call before.
  init(_ what: String) {
    self.init(what, errno)
  }

  public var description: String { "\(what): \(String(cString: strerror(number)))" }
}
