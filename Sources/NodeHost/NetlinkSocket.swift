internal import CNode
internal import Glibc
public import Nodes

/// Asks the kernel about the links of the namespace that it was opened in.
public struct NetlinkSocket: ~Copyable {
  private let file: Descriptor

  public init() throws(SystemError) {
    let number = starling_node_netlink()
    guard number >= 0 else { throw SystemError("netlink", -number) }
    file = Descriptor(number)
  }

  /// Sends, and gives everything up to the kernel's verdict.
  ///
  /// - Parameter ignoring: an `errno` that counts as success.
  @discardableResult
  public func request(
    _ message: [UInt8], _ what: String, ignoring: [Int32] = []
  ) throws(SystemError) -> [NetlinkReply] {
    guard send(file.number, message, message.count, 0) == message.count else {
      throw SystemError(what)
    }
    var out: [NetlinkReply] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = recv(file.number, &buffer, buffer.count, 0)
      guard count > 0 else {
        if errno == EINTR { continue }
        throw SystemError(what)
      }
      for reply in NetlinkReply.all(in: Array(buffer[..<count])) {
        switch reply {
        case .result(let number):
          guard number == 0 || ignoring.contains(number) else { throw SystemError(what, number) }
          return out
        case .done: return out
        default: out.append(reply)
        }
      }
    }
  }

  public func link(_ name: String) throws(SystemError) -> NetlinkReply.Link? {
    let replies = try request(LinkRequests.link(name), name, ignoring: [ENODEV])
    for case .link(let link) in replies { return link }
    return nil
  }
}
