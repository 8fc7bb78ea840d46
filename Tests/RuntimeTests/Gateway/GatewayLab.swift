import Base
import CLinux
import Foundation
import Runtime
import Synchronization

/// Two network namespaces joined by a veth pair, for tests with real packets. Needs root and TUN.
final class GatewayLab: Sendable {
  /// Why there can be no lab here; `nil` where there can.
  static let obstacle: String? = {
    guard geteuid() == 0 else { return "needs root to make network namespaces" }
    guard FileManager.default.fileExists(atPath: "/dev/net/tun") else { return "no /dev/net/tun" }
    guard shell("ip netns add sgt-probe") == nil else { return "ip netns cannot make a namespace" }
    _ = shell("ip netns del sgt-probe")
    return nil
  }()

  private static let counter = Atomic<Int>(0)

  let a: String
  let b: String
  static let outerA = "192.0.2.1"
  static let outerB = "192.0.2.2"

  init() throws {
    let number = Self.counter.wrappingAdd(1, ordering: .relaxed).newValue
    a = "sgt-\(getpid())-\(number)a"
    b = "sgt-\(getpid())-\(number)b"
    try run("ip netns add \(a)")
    try run("ip netns add \(b)")
    try run("ip -n \(a) link add veth0 type veth peer name veth0 netns \(b)")
    for (namespace, address) in [(a, Self.outerA), (b, Self.outerB)] {
      try run("ip -n \(namespace) addr add \(address)/24 dev veth0")
      try run("ip -n \(namespace) addr add fd99::\(address.last ?? "1")/64 dev veth0 nodad")
      try run("ip -n \(namespace) link set veth0 up")
      try run("ip -n \(namespace) link set lo up")
    }
  }

  deinit {
    _ = Self.shell("ip netns del \(a)")
    _ = Self.shell("ip netns del \(b)")
  }

  struct Failure: Error, CustomStringConvertible {
    var description: String
  }

  func run(_ command: String) throws {
    if let problem = Self.shell(command) { throw Failure(description: problem) }
  }

  /// `nil` where it succeeded, otherwise what it said.
  @discardableResult
  static func shell(_ command: String) -> String? {
    let (status, text) = output(command)
    return status == 0 ? nil : "\(command): \(text)"
  }

  static func output(_ command: String) -> (status: Int32, text: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", command]
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    do {
      try process.run()
    } catch {
      return (127, "\(error)")
    }
    let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text)
  }

  /// Runs in a namespace, on a thread of its own: sockets and devices belong to the namespace of the
  /// thread that makes them, and threads started there inherit it.
  @discardableResult
  func inside<T: Sendable>(
    _ namespace: String, _ body: @escaping @Sendable () throws -> T
  ) throws -> T {
    let result = Mutex<Result<T, any Error>?>(nil)
    let done = DispatchSemaphore(value: 0)
    let thread = Thread {
      let entered = starling_enter_network_namespace("/run/netns/\(namespace)")
      let outcome = Result<T, any Error> {
        guard entered == 0 else { throw Failure(description: "setns: error \(-entered)") }
        return try body()
      }
      result.withLock { $0 = outcome }
      done.signal()
    }
    thread.start()
    done.wait()
    guard let outcome = result.withLock({ $0 }) else { throw Failure(description: "no result") }
    return try outcome.get()
  }

  /// A UDP or TCP socket of a namespace.
  func socket(_ namespace: String, _ type: Int32, bind address: String, port: UInt16 = 0) throws
    -> Int32
  {
    try inside(namespace) {
      let file = Glibc.socket(AF_INET, type, 0)
      var one: Int32 = 1
      setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
      var size: Int32 = 8 << 20
      setsockopt(file, SOL_SOCKET, SO_RCVBUFFORCE, &size, socklen_t(MemoryLayout<Int32>.size))
      var local = sockaddr_in.make(address, port)
      let bound = withUnsafePointer(to: &local) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Glibc.bind(file, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
      guard bound == 0 else { throw Failure(description: "bind \(address): \(errno)") }
      return file
    }
  }
}

extension sockaddr_in {
  static func make(_ address: String, _ port: UInt16) -> sockaddr_in {
    var value = sockaddr_in()
    value.sin_family = sa_family_t(AF_INET)
    value.sin_port = port.bigEndian
    inet_pton(AF_INET, address, &value.sin_addr)
    return value
  }

  mutating func with<T>(_ body: (UnsafeMutablePointer<sockaddr>, inout socklen_t) -> T) -> T {
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    return withUnsafeMutablePointer(to: &self) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, &length) }
    }
  }
}

/// A relay between two gateways that records every datagram, and says again what it likes.
final class DatagramRelay: Sendable {
  struct Seen: Sendable {
    var bytes: [UInt8]
    var toB: Bool
  }

  private let file: Int32
  private let a: (String, UInt16)
  private let b: (String, UInt16)
  private let seen = Mutex<[Seen]>([])
  private let stopped = Atomic<Bool>(false)
  /// One datagram in so many is lost; 0: none.
  private let lossOneIn = Atomic<Int>(0)
  private let finished = DispatchSemaphore(value: 0)

  init(file: Int32, a: (String, UInt16), b: (String, UInt16)) {
    self.file = file
    self.a = a
    self.b = b
    var timeout = timeval(tv_sec: 0, tv_usec: 50_000)
    setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    Thread { self.run() }.start()
  }

  var recorded: [Seen] { seen.withLock { $0 } }

  func lose(oneIn count: Int) { lossOneIn.store(count, ordering: .relaxed) }

  func stop() {
    stopped.store(true, ordering: .relaxed)
    finished.wait()
    close(file)
  }

  func send(_ bytes: [UInt8], toB: Bool) {
    var target = toB ? sockaddr_in.make(b.0, b.1) : sockaddr_in.make(a.0, a.1)
    _ = target.with { address, length in sendto(file, bytes, bytes.count, 0, address, length) }
  }

  private func run() {
    var buffer = [UInt8](repeating: 0, count: 10_000)
    var number = 0
    let fromA = sockaddr_in.make(a.0, a.1)
    while !stopped.load(ordering: .relaxed) {
      var source = sockaddr_in()
      let count = source.with { address, length in
        recvfrom(file, &buffer, buffer.count, 0, address, &length)
      }
      guard count > 0 else { continue }
      let bytes = Array(buffer.prefix(count))
      let toB = source.sin_addr.s_addr == fromA.sin_addr.s_addr
      seen.withLock { if $0.count < 20_000 { $0.append(Seen(bytes: bytes, toB: toB)) } }
      number += 1
      let loss = lossOneIn.load(ordering: .relaxed)
      if loss > 0, number % loss == 0 { continue }
      send(bytes, toB: toB)
    }
    finished.signal()
  }
}
