internal import Glibc
internal import Kubernetes
public import Nodes

/// Addresses of Unix sockets.
enum UnixAddress {
  static func with<Value>(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Value
  ) -> Value? {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }

  static func stream() -> Int32 {
    socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
  }
}

/// The plugin's side of the agent's socket.
public enum AgentClient {
  /// Runtimes give a plugin a minute or more; a busy agent answers in milliseconds.
  static let waitSeconds = 10

  /// - Returns: `nil` where no agent answers.
  public static func ask(_ request: AgentRequest, socket path: String) -> AgentAnswer? {
    let number = UnixAddress.stream()
    guard number >= 0 else { return nil }
    let file = Descriptor(number)
    var wait = timeval(tv_sec: waitSeconds, tv_usec: 0)
    let size = socklen_t(MemoryLayout<timeval>.size)
    setsockopt(file.number, SOL_SOCKET, SO_RCVTIMEO, &wait, size)
    setsockopt(file.number, SOL_SOCKET, SO_SNDTIMEO, &wait, size)
    guard UnixAddress.with(path, { connect(file.number, $0, $1) }) == 0,
      (try? Files.write(request.json.bytes + [0x0a], to: file.number, path)) != nil,
      let bytes = try? Files.read(file.number, limit: AgentRequest.limit, path),
      let json = try? JSON(parsing: bytes)
    else { return nil }
    return AgentAnswer(json)
  }
}
