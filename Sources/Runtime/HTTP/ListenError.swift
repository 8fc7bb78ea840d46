internal import NIOCore

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// A listener could not be opened: one line that says which, why and what to do.
public struct ListenError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The option that names it: `api.listen`.
  public var option: String
  public var address: String
  public var reason: String
  public var fix: String
  /// The system refused for want of a right.
  public var isPermission: Bool

  public var description: String { "\(option): cannot listen on \(address): \(reason); \(fix)" }

  public init(option: String, address: String, errno code: Int32) {
    self.option = option
    self.address = address
    isPermission = code == EACCES || code == EPERM
    switch code {
    case EADDRINUSE:
      reason = "another process listens there"
      fix = "stop it, or set \(option) to another address"
    case EADDRNOTAVAIL:
      reason = "this machine has no such address"
      fix = "set \(option) to one of its addresses, or 0.0.0.0"
    case EACCES, EPERM:
      reason = "permission denied"
      fix = "use a port from 1024 or a folder that this user may write, or run with that right"
    case EEXIST, ELOOP:
      reason = "there is a file that is no socket"
      fix = "remove it, or set \(option)"
    case ENOENT, ENOTDIR:
      reason = "the folder does not exist"
      fix = "create it, or set \(option)"
    default:
      reason = String(cString: strerror(code))
      fix = "set \(option)"
    }
  }
}

extension ListenError {
  static func from(_ error: any Error, option: String, address: String) -> any Error {
    guard let io = error as? IOError else { return error }
    return ListenError(option: option, address: address, errno: io.errnoCode)
  }
}
