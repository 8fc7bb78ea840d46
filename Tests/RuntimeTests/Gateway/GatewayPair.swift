import Base
import Foundation
import Runtime
import Synchronization

/// Two gateways of one slice in the two namespaces of a lab.
final class GatewayPair: Sendable {
  static let port: UInt16 = 7_900
  static let innerA = "10.77.0.1"
  static let innerB = "10.77.16.1"

  let lab: GatewayLab
  let certificates = GatewayCertificates()
  let keys = [Gateway.makeStaticKey(), Gateway.makeStaticKey()]
  private let gateways = Mutex<[Gateway?]>([nil, nil])
  let events = Mutex<[(index: Int, event: GatewayEvent, at: Double)]>([])

  init() throws {
    lab = try GatewayLab()
  }

  deinit {
    stop()
  }

  var a: Gateway? { gateways.withLock { $0[0] } }
  var b: Gateway? { gateways.withLock { $0[1] } }

  func namespace(_ index: Int) -> String { index == 0 ? lab.a : lab.b }

  static func outer(_ index: Int) -> String { index == 0 ? GatewayLab.outerA : GatewayLab.outerB }

  static func block(_ index: Int) throws -> IPPrefix {
    guard let block = IPPrefix(index == 0 ? "10.77.0.0/20" : "10.77.16.0/20") else {
      throw GatewayLab.Failure(description: "block")
    }
    return block
  }

  /// The plan of one side; `via` are the addresses where it finds the other.
  func plan(
    _ index: Int, identity: TunnelIdentity? = nil, via: [String]? = nil, mtu: Int = 1_420
  ) throws -> GatewayPlan {
    let other = 1 - index
    let inner = index == 0 ? Self.innerA : Self.innerB
    guard let address = IPAddress(inner), let remoteKey = Gateway.publicKey(of: keys[other]) else {
      throw GatewayLab.Failure(description: "plan")
    }
    let endpoints = (via ?? ["\(Self.outer(other)):\(Self.port)"]).compactMap { IPEndpoint($0) }
    return GatewayPlan(
      slices: [
        TunnelSliceConfig(
          slice: "blue", device: "slice0", addresses: [.init(address, prefixLength: 16)],
          localBlocks: [try Self.block(index)], mtu: mtu,
          identity: try identity ?? certificates.leaf(index))
      ],
      peers: [
        TunnelPeerConfig(
          slice: "blue", cluster: "c\(other)", replica: "0", endpoints: endpoints,
          staticKey: remoteKey, certificateAuthority: certificates.authority(other),
          spiffeURI: certificates.uri(other), remoteBlocks: [try Self.block(other)])
      ])
  }

  func start(
    _ index: Int, identity: TunnelIdentity? = nil, via: [String]? = nil, mtu: Int = 1_420
  ) throws {
    try start(
      index, plan: plan(index, identity: identity, via: via, mtu: mtu),
      listen: "\(Self.outer(index)):\(Self.port)")
  }

  func start(_ index: Int, plan: GatewayPlan, listen: String) throws {
    guard let listen = IPEndpoint(listen) else { return }
    let configuration = GatewayConfiguration(
      cluster: "c\(index)", replica: "0", listen: listen, staticKey: keys[index],
      onEvent: { event in
        self.events.withLock { $0.append((index, event, Date().timeIntervalSince1970)) }
      })
    let gateway = try lab.inside(namespace(index)) {
      let gateway = try Gateway(configuration)
      gateway.apply(plan)
      return gateway
    }
    gateways.withLock { $0[index] = gateway }
  }

  /// Ends one side without a word, as a crash does: its port is closed to the other.
  func stop(_ index: Int) {
    let gateway = gateways.withLock { gateways in
      defer { gateways[index] = nil }
      return gateways[index]
    }
    gateway?.stop()
  }

  func stop() {
    stop(0)
    stop(1)
  }

  func tunnel(_ index: Int) -> TunnelStatus? {
    gateways.withLock { $0[index] }?.status().tunnels.first
  }

  func drops(_ index: Int, _ reason: String) -> UInt64 {
    guard let status = gateways.withLock({ $0[index] })?.status() else { return 0 }
    let all = status.drops + status.tunnels.flatMap(\.drops)
    return all.filter { $0.reason == reason }.reduce(0) { $0 + $1.packets }
  }

  /// Waits until a condition holds; gives the seconds it took, `nil` where it never did.
  @discardableResult
  func wait(_ seconds: Double, until condition: () -> Bool) -> Double? {
    let start = Date()
    while Date().timeIntervalSince(start) < seconds {
      if condition() { return Date().timeIntervalSince(start) }
      usleep(2_000)
    }
    return condition() ? seconds : nil
  }

  var established: Bool {
    tunnel(0)?.state == .established && tunnel(1)?.state == .established
  }
}

/// Numbered packets through the tunnel: which arrived, and how often.
final class NumberedTraffic: Sendable {
  private let pair: GatewayPair
  private let sender: Int32
  private let receiver: Int32
  private let from: Int
  private let counts = Mutex<[Int]>([])
  private let stopped = Atomic<Bool>(false)
  private let finished = DispatchSemaphore(value: 0)

  init(_ pair: GatewayPair, from: Int, port: UInt16) throws {
    self.pair = pair
    self.from = from
    let addresses = [GatewayPair.innerA, GatewayPair.innerB]
    sender = try pair.lab.socket(
      pair.namespace(from), Int32(SOCK_DGRAM.rawValue), bind: addresses[from])
    receiver = try pair.lab.socket(
      pair.namespace(1 - from), Int32(SOCK_DGRAM.rawValue), bind: addresses[1 - from], port: port)
    var timeout = timeval(tv_sec: 0, tv_usec: 100_000)
    setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    let target = sockaddr_in.make(addresses[1 - from], port)
    Thread { self.receive() }.start()
    Thread { self.send(to: target) }.start()
  }

  private func send(to target: sockaddr_in) {
    var target = target
    var payload = [UInt8](repeating: 0, count: 1_000)
    var number: UInt32 = 0
    while !stopped.load(ordering: .relaxed) {
      // Four at a time, then a breath: the receivers' buffers are not what is tested.
      for _ in 0..<4 {
        counts.withLock { $0.append(0) }
        for byte in 0..<4 {
          payload[byte] = UInt8(truncatingIfNeeded: number >> (8 * UInt32(byte)))
        }
        _ = target.with { address, length in
          sendto(sender, payload, payload.count, 0, address, length)
        }
        number += 1
      }
      usleep(1_000)
    }
    finished.signal()
  }

  private func receive() {
    var buffer = [UInt8](repeating: 0, count: 2_000)
    var idle = 0
    while idle < 5 {
      let count = recv(receiver, &buffer, buffer.count, 0)
      guard count == 1_000 else {
        idle = stopped.load(ordering: .relaxed) ? idle + 1 : 0
        continue
      }
      let number = (0..<4).reduce(0) { $0 | Int(buffer[$1]) << (8 * $1) }
      counts.withLock { if number < $0.count { $0[number] += 1 } }
    }
    finished.signal()
  }

  /// Stops sending, waits for the last packets; gives (sent, lost, repeated).
  func finish() -> (sent: Int, lost: Int, repeated: Int) {
    stopped.store(true, ordering: .relaxed)
    finished.wait()
    finished.wait()
    close(sender)
    close(receiver)
    return counts.withLock { counts in
      (counts.count, counts.count { $0 == 0 }, counts.count { $0 > 1 })
    }
  }
}
