import Foundation
import Kubernetes

/// A node for workloads: a network namespace with the real node agent and what feeds it, on the network
/// of the gateways' Pods; its own Pods are namespaces behind it. Nothing else enforces a policy there.
struct FakeNode {
  struct Pod: Sendable {
    var key: ObjectKey
    var namespace: String
    var address: String
  }

  let name: String
  private let host: String
  private let wires: GatewayWires
  private let kubelet: FakeKubelet
  private var pods = 0

  /// - Parameter index: of the cluster. Every cluster has the same Pod addresses.
  init(
    _ lab: KubernetesLab, _ kubelet: FakeKubelet, _ index: Int, wires: GatewayWires
  ) async throws {
    name = "worker"
    self.wires = wires
    self.kubelet = kubelet
    let address = "198.51.100.\(18 + 20 * index)"
    let folder = lab.clusters[index].directory.file("worker")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try await kubelet.registerNode(name, address)
    host = try await wires.node(
      "n\(index)", address: address, folder: folder,
      feed: [
        "--node", name, "--kubeconfig", lab.kubeconfig(index), "--namespace", lab.namespace,
      ])
  }

  /// A Pod that runs, and is shown by the API server as running.
  mutating func pod(
    _ name: String, in space: String, labels: [String: String] = [:]
  ) async throws -> Pod {
    pods += 1
    let address = "10.100.0.\(1 + pods)"
    let namespace = try await wires.pod("\(host)-\(pods)", address: address, behind: host)
    let key = ObjectKey(namespace: space, name: name)
    try await kubelet.registerPod(key, labels: labels, node: self.name, address: address)
    return Pod(key: key, namespace: namespace, address: address)
  }
}

extension GatewayWires {
  /// - Parameter feed: arguments of the feed besides its document; it runs where the API server listens.
  func node(_ name: String, address: String, folder: String, feed: [String]) throws -> String {
    let (wan, host) = (try wan(), "\(prefix)-\(name)")
    let agent = "\(host)-agent"
    try ip("netns add \(host)")
    namespaces.formUnion([host, agent])
    try ip("-n \(host) link set lo up")
    try ip("-n \(wan) link add to-\(name) type veth peer name eth0 netns \(host)")
    try ip("-n \(wan) link set to-\(name) up master br0")
    try ip("-n \(host) addr add \(address)/24 dev eth0")
    try ip("-n \(host) link set eth0 up")
    try Self.run(["ip", "netns", "exec", host, "sysctl", "-qw", "net.ipv4.ip_forward=1"])
    // What many plugins do; with it, a slice could not tell one Pod from another.
    try Self.run(
      ["ip", "netns", "exec", host, "nft", "-f", "-"],
      input: """
        table ip main {
          chain post {
            type nat hook postrouting priority srcnat
            ip saddr 10.100.0.0/16 ip daddr != 10.100.0.0/16 masquerade
          }
        }
        """)
    let document = "\(folder)/node.json"
    try start(
      ["\(binaries)/starling-node-feed", "--document", document] + feed, as: "\(host)/feed",
      log: "\(folder)/feed.log")
    // Not `ip netns exec`: what the agent mounts has to be seen outside, as on a node.
    try start(
      [
        "nsenter", "--net=/run/netns/\(host)", "\(binaries)/starling-node", "--document", document,
        "--state", "\(folder)/state", "--socket", "\(folder)/node.sock", "--netns", agent,
      ], as: "\(host)/agent", log: "\(folder)/agent.log")
    return host
  }

  func pod(_ name: String, address: String, behind host: String) throws -> String {
    let link = "pod\(address.split(separator: ".").last ?? "")"
    try ip("netns add \(name)")
    namespaces.insert(name)
    try ip("-n \(name) link set lo up")
    try ip("-n \(host) link add \(link) type veth peer name eth0 netns \(name)")
    try ip("-n \(host) addr add 10.100.0.1/32 dev \(link)")
    try ip("-n \(host) link set \(link) up")
    try ip("-n \(host) route add \(address)/32 dev \(link)")
    try ip("-n \(name) addr add \(address)/32 dev eth0")
    try ip("-n \(name) link set eth0 up")
    try ip("-n \(name) route add 10.100.0.1/32 dev eth0")
    try ip("-n \(name) route add default via 10.100.0.1")
    return name
  }

  /// A server in a Pod that says whose it is to everybody who connects.
  func serve(_ text: String, port: Int, in pod: FakeNode.Pod, log: String) throws {
    let program = """
      import socket
      listener = socket.create_server(("0.0.0.0", \(port)))
      while True:
          peer, _ = listener.accept()
          peer.sendall(b"\(text)")
          peer.close()
      """
    try start(
      ["ip", "netns", "exec", pod.namespace, "python3", "-c", program],
      as: "\(pod.namespace)/server", log: log)
  }

  /// What a server says to a Pod; `nil` where no connection came about.
  func fetch(_ address: String, port: Int, from pod: FakeNode.Pod) -> String? {
    let program = """
      import socket
      with socket.create_connection(("\(address)", \(port)), 1) as peer: print(peer.recv(100).decode())
      """
    let said = try? Self.run(["ip", "netns", "exec", pod.namespace, "python3", "-c", program])
    return said?.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// IPv4 addresses of a name, by the server at `address:port`.
  static func resolve(_ name: String, at server: String) throws -> [String] {
    let parts = server.split(separator: ":")
    let deploy = URL(fileURLWithPath: #filePath).pathComponents.dropLast(4).joined(separator: "/")
    let program = """
      import sys; sys.path.insert(0, "\(deploy)/deploy")
      from lab import dns
      print(*dns.query("\(parts[0])", "\(name)", port=\(parts[1]))[1])
      """
    return try run(["python3", "-c", program]).split(separator: " ").map {
      $0.trimmingCharacters(in: .whitespacesAndNewlines)
    }.filter { !$0.isEmpty }
  }
}
