import Base
import NIOCore
import NIOPosix
import Synchronization

@testable import Runtime

/// The signed state, as far as streams ask it.
final class TestTrust: Sendable {
  struct Entry: Hashable {
    var cluster: String
    var node: NodeID
  }

  private let admitted = Mutex<[Entry: [UInt8]]>([:])

  func admit(_ peer: TestPeer) {
    admitted.withLock { $0[Entry(cluster: peer.cluster, node: peer.id)] = peer.ca.certificate }
  }

  func expel(_ peer: TestPeer) {
    admitted.withLock { $0[Entry(cluster: peer.cluster, node: peer.id)] = nil }
  }

  var authenticator: StreamAuthenticator {
    PeerAuthenticator.make(clusterSet: testClusterSet) { cluster, node in
      self.admitted.withLock { $0[Entry(cluster: cluster, node: node)] }
    }
  }
}

/// A peer with a CA, a transport and all that it was told.
final class TestPeer: Sendable {
  let cluster: String
  let key = SigningKey()
  let ca: ClusterCA
  let events = Inbox<StreamEvent>()
  let trust: TestTrust
  let transport: StreamTransport
  private let listening = Mutex<IPEndpoint?>(nil)

  init(
    _ cluster: String, trust: TestTrust, on loop: any EventLoop,
    limits: StreamLimits = StreamLimits()
  ) throws {
    self.cluster = cluster
    self.trust = trust
    ca = try ClusterCA(cluster: cluster, clusterSet: testClusterSet, now: testNow)
    let identity = SPIFFEIdentity(
      clusterSet: testClusterSet, cluster: cluster, role: .peer(key.nodeID))
    let events = events
    transport = try StreamTransport(
      me: key.nodeID, leaf: try ca.issue(identity, now: testNow), on: loop,
      resolver: AddressResolver(), limits: limits, authenticator: trust.authenticator
    ) { events.add([$0]) }
  }

  var id: NodeID { key.nodeID }
  var address: String { listening.withLock { $0 }?.description ?? "" }

  @discardableResult
  func listen(_ port: UInt16 = 0) async throws -> TestPeer {
    let endpoint = try await transport.listen(on: IPEndpoint(loopback, port: port))
    listening.withLock { $0 = endpoint }
    return self
  }

  func send(_ frame: [UInt8], to peer: TestPeer) {
    transport.send(frame, to: peer.id, addresses: [peer.address])
  }

  var frames: [[UInt8]] { events.all.frames }

  func waitFor(_ isEnough: @escaping @Sendable ([StreamEvent]) -> Bool) async -> Bool {
    await events.wait(isEnough)
  }
}

extension [StreamEvent] {
  var frames: [[UInt8]] {
    compactMap { if case .frame(_, _, let bytes) = $0 { bytes } else { nil } }
  }
  var opened: [(id: StreamID, identity: StreamIdentity, direction: StreamDirection)] {
    compactMap { event in
      guard case .opened(let id, let identity, let direction, _) = event else { return nil }
      return (id, identity, direction)
    }
  }
  var closures: [StreamClosure] {
    compactMap { if case .closed(_, _, let closure) = $0 { closure } else { nil } }
  }
  var refusals: [StreamRefusal] {
    compactMap { if case .refused(let refusal, _) = $0 { refusal } else { nil } }
  }
  var unreachable: Int {
    count { if case .unreachable = $0 { true } else { false } }
  }
  var addressUnreachable: Int {
    count { if case .addressUnreachable = $0 { true } else { false } }
  }
  var identified: [StreamIdentity] {
    compactMap { if case .identified(_, let identity) = $0 { identity } else { nil } }
  }
}

/// A TCP client that speaks no TLS.
func sendPlain(_ bytes: [UInt8], to port: UInt16, on group: any EventLoopGroup) async throws {
  let channel = try await ClientBootstrap(group: group).connect(
    to: try IPEndpoint(loopback, port: port).socketAddress()
  ).get()
  try? await channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
  try? await Task.sleep(for: .milliseconds(20))
  try? await channel.close().get()
}
