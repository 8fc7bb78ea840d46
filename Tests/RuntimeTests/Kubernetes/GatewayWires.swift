import Foundation
import Kubernetes

/// Pods of gateways as network namespaces on one wide network, their containers as processes.
actor GatewayWires {
  let prefix = "sg\(getpid() % 10_000)\(String(UInt16.random(in: 0...999), radix: 36))"
  var processes: [String: [Process]] = [:]
  var namespaces: Set<String> = []
  let binaries: String

  static let needed = ["starling-gateway", "starling-node", "starling-node-feed"]

  /// `nil` where namespaces, TUN devices or the binaries are missing.
  init?() {
    let folder = ProcessInfo.processInfo.environment["STARLING_BIN"] ?? ""
    guard getuid() == 0, FileManager.default.fileExists(atPath: "/dev/net/tun"), !folder.isEmpty,
      Self.needed.allSatisfy({
        FileManager.default.isExecutableFile(atPath: "\(folder)/\($0)")
      }), (try? Self.run(["ip", "netns"])) != nil, (try? Self.run(["nft", "--version"])) != nil
    else { return nil }
    binaries = folder
  }

  struct Failed: Error, CustomStringConvertible {
    var description: String
  }

  @discardableResult
  static func run(_ command: [String], input: String = "") throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    let (out, given) = (Pipe(), Pipe())
    process.standardOutput = out
    process.standardError = out
    process.standardInput = given
    try process.run()
    given.fileHandleForWriting.write(Data(input.utf8))
    try? given.fileHandleForWriting.close()
    let text = String(decoding: out.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw Failed(description: "\(command.joined(separator: " ")): \(text)")
    }
    return text
  }

  func namespace(_ pod: FakeKubelet.Pod) -> String {
    "\(prefix)-\(pod.address.split(separator: ".").last ?? "")"
  }

  func ip(_ text: String) throws {
    try Self.run(["ip"] + text.split(separator: " ").map(String.init))
  }

  func wan() throws -> String {
    let name = "\(prefix)-wan"
    guard namespaces.insert(name).inserted else { return name }
    try ip("netns add \(name)")
    try ip("-n \(name) link add br0 type bridge")
    try ip("-n \(name) link set br0 up")
    return name
  }

  func start(
    _ pod: FakeKubelet.Pod, containers: [JSON], nodePort: Int, kubeconfig: String,
    namespace space: String
  ) throws {
    let (wan, name) = (try wan(), namespace(pod))
    let link = "to\(pod.address.split(separator: ".").last ?? "")"
    try ip("netns add \(name)")
    namespaces.insert(name)
    try ip("-n \(name) link set lo up")
    try ip("-n \(wan) link add \(link) type veth peer name eth0 netns \(name)")
    try ip("-n \(wan) link set \(link) up master br0")
    try ip("-n \(name) addr add \(pod.address)/24 dev eth0")
    try ip("-n \(name) link set eth0 up")
    // What kube-proxy does at a node.
    try Self.run(
      ["ip", "netns", "exec", name, "nft", "-f", "-"],
      input: """
        table ip node {
          chain pre {
            type nat hook prerouting priority dstnat
            udp dport \(nodePort) redirect to :7900
          }
        }
        """)
    for container in containers {
      try start(container, of: pod, in: name, kubeconfig: kubeconfig, space: space)
    }
  }

  /// As the template has it, but for the folder that the containers share; only the feed speaks to the
  /// API server, so only it runs where that listens.
  private func start(
    _ container: JSON, of pod: FakeKubelet.Pod, in name: String, kubeconfig: String, space: String
  ) throws {
    let variables = ["$(POD_IPS)": pod.address, "$(POD_NAME)": pod.name]
    var command = (container["command"]?.array ?? []).compactMap(\.string).map {
      (variables[$0] ?? $0).replacingOccurrences(of: "/run/starling", with: pod.folder)
    }
    guard let program = command.first else { return }
    command[0] = "\(binaries)/\(program)"
    if program == "starling-node-feed" {
      command += ["--kubeconfig", kubeconfig, "--namespace", space]
    } else {
      command = ["ip", "netns", "exec", name] + command
    }
    let label = container["name"]?.string ?? "container"
    try start(command, as: "\(pod.name)/\(label)", log: "\(pod.folder)/\(label).log")
  }

  /// Starts a process under a name by which it can be killed.
  func start(_ command: [String], as name: String, log: String) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    _ = FileManager.default.createFile(atPath: log, contents: nil)
    let file = FileHandle(forWritingAtPath: log)
    process.standardOutput = file
    process.standardError = file
    try process.run()
    processes[name, default: []].append(process)
  }

  /// Kills one container of a Pod; nobody starts it again.
  func kill(_ container: String, of pod: FakeKubelet.Pod) {
    for process in processes.removeValue(forKey: "\(pod.name)/\(container)") ?? [] {
      Foundation.kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
    }
  }

  func stop(_ pod: FakeKubelet.Pod) {
    for container in ["gateway", "node", "feed"] { kill(container, of: pod) }
    let name = namespace(pod)
    if namespaces.remove(name) != nil { try? ip("netns del \(name)") }
  }

  /// Takes a Pod off the wide network.
  func cut(_ pod: FakeKubelet.Pod, _ isCut: Bool) throws {
    try ip("-n \(namespace(pod)) link set eth0 \(isCut ? "down" : "up")")
  }

  /// Whether a gateway reaches an address of the slice from its own.
  func pings(from pod: FakeKubelet.Pod, _ source: String, _ address: String) -> Bool {
    (try? Self.run(
      [
        "ip", "netns", "exec", namespace(pod), "ping", "-c", "1", "-W", "1", "-I", source, address,
      ])) != nil
  }

  nonisolated func logs(_ pod: FakeKubelet.Pod) -> String {
    ["gateway", "node", "feed"].map { name in
      let data = FileManager.default.contents(atPath: "\(pod.folder)/\(name).log") ?? Data()
      return "--- \(pod.name) \(name)\n\(String(decoding: data.suffix(2000), as: UTF8.self))"
    }.joined(separator: "\n")
  }

  func clear() {
    for process in processes.values.flatMap({ $0 }) {
      Foundation.kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
    }
    for name in namespaces { try? ip("netns del \(name)") }
    (processes, namespaces) = ([:], [])
  }
}
