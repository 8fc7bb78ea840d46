internal import Glibc
internal import Kubernetes
public import Nodes

/// The agent's socket for the plugin, which only root may use.
public struct AgentListener: ~Copyable {
  private let file: Descriptor
  private let path: String

  private init(_ file: consuming Descriptor, _ path: String) {
    self.file = file
    self.path = path
  }

  public static func listening(on path: String) throws(SystemError) -> AgentListener {
    try Files.makeFolder(path.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" })
    try Files.remove(path)
    let number = UnixAddress.stream()
    guard number >= 0 else { throw SystemError(path) }
    let file = Descriptor(number)
    let mask = umask(0o177)
    let bound = UnixAddress.with(path) { Glibc.bind(number, $0, $1) }
    umask(mask)
    guard bound == 0, listen(number, 128) == 0 else { throw SystemError(path) }
    return AgentListener(file, path)
  }

  public var number: Int32 { file.number }

  deinit { unlink(path) }

  /// Answers one caller.
  public func serve(_ answer: (AgentRequest) -> AgentAnswer) {
    let number = accept(file.number, nil, nil)
    guard number >= 0 else { return }
    let caller = Descriptor(number)
    // Nobody keeps the agent from its work for longer than this.
    var wait = timeval(tv_sec: 1, tv_usec: 0)
    setsockopt(
      caller.number, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
    var line: [UInt8] = []
    var byte: UInt8 = 0
    while line.count < AgentRequest.limit, recv(caller.number, &byte, 1, 0) == 1, byte != 0x0a {
      line.append(byte)
    }
    guard let json = try? JSON(parsing: line), let request = AgentRequest(json) else { return }
    try? Files.write(answer(request).json.bytes + [0x0a], to: caller.number, "the plugin")
  }
}
