import Base
import Foundation
import Runtime
import Synchronization
import Testing

/// Real packets between two namespaces. Skipped, with the reason, where that cannot be done.
@Suite(.serialized, .enabled(if: GatewayLab.obstacle == nil, "\(GatewayLab.obstacle ?? "")"))
struct GatewayTests {
  private func connected(via: [[String]?] = [nil, nil]) throws -> GatewayPair {
    let pair = try GatewayPair()
    for index in 0..<2 { try pair.start(index, via: via[index]) }
    let seconds = pair.wait(3) { pair.established }
    try #require(seconds != nil, "\(String(describing: pair.tunnel(0)?.lastError))")
    return pair
  }

  private func ping(_ pair: GatewayPair, from index: Int, count: Int = 20) -> String {
    let target = index == 0 ? GatewayPair.innerB : GatewayPair.innerA
    return GatewayLab.output(
      "ip netns exec \(pair.namespace(index)) ping -q -c \(count) -i 0.01 -W 1 \(target)"
    ).text
  }

  @Test func carriesPacketsBothWays() throws {
    let pair = try connected()
    for index in 0..<2 {
      let text = ping(pair, from: index)
      #expect(text.contains(" 0% packet loss"), "\(text)")
      #expect(!text.contains("duplicates"))
    }
    let status = try #require(pair.tunnel(0))
    #expect(status.cipher == "TLS_AES_256_GCM_SHA384")
    #expect(status.sentPackets >= 40 && status.receivedPackets >= 40)
    #expect(status.drops.isEmpty)
    #expect(status.roundTripTime ?? .seconds(1) < .milliseconds(50))
    let now = Int64(Date().timeIntervalSince1970)
    #expect(status.remoteCertificateExpiry ?? 0 > now + 23 * 3_600)
    #expect(status.handshakes == 1 && status.lastError == nil)
    // Nothing but our datagrams on the outer link: the full MTU goes through unfragmented.
    let large = GatewayLab.output(
      "ip netns exec \(pair.lab.a) ping -q -c 5 -i 0.01 -M do -s 1392 \(GatewayPair.innerB)")
    #expect(large.text.contains(" 0% packet loss"), "\(large.text)")
    pair.stop()
  }

  /// IPv6 outside, both families inside.
  @Test func carriesIPv6() throws {
    let pair = try GatewayPair()
    for index in 0..<2 {
      var plan = try pair.plan(index, via: ["[fd99::\(2 - index)]:\(GatewayPair.port)"])
      let inner = try #require(IPAddress("fd77:0:0:\(index)::1"))
      let blocks = try (0..<2).map { try #require(IPPrefix("fd77:0:0:\($0)::/64")) }
      plan.slices[0].addresses.append(.init(inner, prefixLength: 48))
      plan.slices[0].localBlocks.append(blocks[index])
      plan.peers[0].remoteBlocks.append(blocks[1 - index])
      try pair.start(index, plan: plan, listen: "[::]:\(GatewayPair.port)")
    }
    try #require(pair.wait(3) { pair.established } != nil)
    #expect(pair.tunnel(0)?.endpoint?.address.family == .v6)
    #expect(ping(pair, from: 0).contains(" 0% packet loss"))
    let text = GatewayLab.output(
      "ip netns exec \(pair.lab.a) ping -6 -q -c 10 -i 0.01 -W 1 fd77:0:0:1::1"
    ).text
    #expect(text.contains(" 0% packet loss"), "\(text)")
    pair.stop()
  }

  /// One TCP connection lives through rekeys, rotations and the restart of the far gateway.
  @Test func connectionsSurviveRotationAndRestart() throws {
    let pair = try connected()
    let stream = try EchoedStream(pair)
    #expect(try stream.exchange(bytes: 2_000_000))
    pair.a?.rekey()
    pair.b?.rotate(slice: "blue", identity: try pair.certificates.leaf(1))
    #expect(try stream.exchange(bytes: 2_000_000))
    pair.stop(1)
    try pair.start(1)
    #expect(pair.wait(3) { pair.established } != nil)
    #expect(try stream.exchange(bytes: 2_000_000))
    stream.close()
    pair.stop()
  }

  /// Forced rekeys and full rotations on both sides while numbered packets run both ways.
  @Test func rotationLosesNoPacketAndNoConnection() throws {
    let pair = try connected()
    let there = try NumberedTraffic(pair, from: 0, port: 5_001)
    let back = try NumberedTraffic(pair, from: 1, port: 5_002)
    for round in 0..<40 {
      usleep(60_000)
      (round % 2 == 0 ? pair.a : pair.b)?.rekey()
      if round % 10 == 5 {
        let index = round / 10 % 2
        let leaf = try pair.certificates.leaf(index)
        (index == 0 ? pair.a : pair.b)?.rotate(slice: "blue", identity: leaf)
      }
    }
    pair.wait(3) { pair.tunnel(0)?.handshakes ?? 0 >= 5 }
    for (sent, lost, repeated) in [there.finish(), back.finish()] {
      #expect(sent > 2_000)
      #expect(lost == 0 && repeated == 0, "\(lost) of \(sent) lost, \(repeated) repeated")
    }
    let status = try #require(pair.tunnel(0))
    #expect(status.rekeys >= 10)
    #expect(status.handshakes == 5)
    #expect(status.failedHandshakes == 0)
    let changes = pair.events.withLock { events in
      events.count { if case .reachability = $0.event { true } else { false } }
    }
    #expect(changes == 2, "a rotation is no outage")
    pair.stop()
  }

  /// A relay says everything again, altered and unaltered, while traffic and a rotation go on.
  @Test func forgedAndReplayedDatagramsAreCountedAndChangeNothing() throws {
    let relayPort: UInt16 = 9_900
    let address = "\(GatewayLab.outerA):\(relayPort)"
    let pair = try GatewayPair()
    let file = try pair.lab.socket(
      pair.lab.a, Int32(SOCK_DGRAM.rawValue), bind: GatewayLab.outerA, port: relayPort)
    let relay = DatagramRelay(
      file: file, a: (GatewayLab.outerA, GatewayPair.port),
      b: (GatewayLab.outerB, GatewayPair.port))
    for index in 0..<2 { try pair.start(index, via: [address]) }
    try #require(pair.wait(3) { pair.established } != nil)
    let traffic = try NumberedTraffic(pair, from: 0, port: 5_003)
    var rng = SeededGenerator(seed: 1)
    for round in 0..<20 {
      if round == 5 {
        pair.b?.rotate(slice: "blue", identity: try pair.certificates.leaf(1))
      }
      if round % 4 == 0 { pair.a?.rekey() }
      for seen in relay.recorded.shuffled(using: &rng).prefix(200) {
        var bytes = seen.bytes
        switch Int.random(in: 0..<3, using: &rng) {
        case 0: break
        case 1: bytes[Int.random(in: 0..<bytes.count, using: &rng)] ^= 1
        default: bytes = Array(bytes.prefix(Int.random(in: 1...bytes.count, using: &rng)))
        }
        relay.send(bytes, toB: seen.toB)
      }
      usleep(20_000)
    }
    let (sent, lost, repeated) = traffic.finish()
    #expect(lost == 0 && repeated == 0, "\(lost) of \(sent) lost, \(repeated) repeated")
    for reason in ["forged", "replayed", "malformed"] {
      #expect(pair.drops(0, reason) + pair.drops(1, reason) > 0, "\(reason)")
    }
    #expect(pair.tunnel(0)?.failedHandshakes == 0)
    #expect(pair.tunnel(0)?.handshakes == 2)
    pair.stop()
    relay.stop()
  }

  @Test func connectsThroughLoss() throws {
    let pair = try GatewayPair()
    let file = try pair.lab.socket(
      pair.lab.a, Int32(SOCK_DGRAM.rawValue), bind: GatewayLab.outerA, port: 9_900)
    let relay = DatagramRelay(
      file: file, a: (GatewayLab.outerA, GatewayPair.port),
      b: (GatewayLab.outerB, GatewayPair.port))
    relay.lose(oneIn: 3)
    for index in 0..<2 { try pair.start(index, via: ["\(GatewayLab.outerA):9900"]) }
    #expect(pair.wait(10) { pair.established } != nil)
    pair.stop()
    relay.stop()
  }

  enum BadLeaf: CaseIterable {
    case otherSlice, expired, fromTheFuture, otherCluster

    var reason: String {
      switch self {
      case .otherSlice: "the certificate does not name spiffe://"
      case .expired: "certificate has expired"
      case .fromTheFuture: "certificate is not yet valid"
      case .otherCluster: "unable to get local issuer certificate"
      }
    }
  }

  @Test(arguments: BadLeaf.allCases)
  func wrongCertificatesAreRefusedWithTheReasonOnBothSides(bad: BadLeaf) throws {
    let pair = try GatewayPair()
    let leaf =
      switch bad {
      case .otherSlice: try pair.certificates.leaf(0, slice: "green")
      case .expired: try pair.certificates.leaf(0, yearsAgo: 1)
      // As a cluster makes it whose clock is a year ahead.
      case .fromTheFuture: try pair.certificates.leaf(0, yearsAgo: -1)
      case .otherCluster: try pair.certificates.leaf(0, signedBy: 1)
      }
    try pair.start(0, identity: leaf)
    try pair.start(1)
    for index in 0..<2 {
      let seconds = pair.wait(3) { pair.tunnel(index)?.lastError?.contains(bad.reason) == true }
      #expect(seconds != nil, "side \(index): \(pair.tunnel(index)?.lastError ?? "no error")")
    }
    #expect(!pair.established)
    pair.stop()
  }

  @Test func deathIsToldWithinASecondAndRestartHeals() throws {
    let pair = try connected()
    usleep(400_000)
    // The link goes, as in a crash: nobody says goodbye.
    try pair.lab.run("ip -n \(pair.lab.b) link set veth0 down")
    let died = pair.wait(2) { pair.tunnel(0)?.state == .unreachable }
    // A second, and what a busy test machine adds.
    #expect(died ?? 9 <= 1.3)
    try pair.lab.run("ip -n \(pair.lab.b) link set veth0 up")
    #expect(pair.wait(4) { pair.established } != nil)
    pair.stop(1)
    #expect(pair.wait(1) { pair.tunnel(0)?.state != .established } != nil)
    try pair.start(1)
    let seconds = pair.wait(3) { pair.established }
    #expect(seconds ?? 9 < 1.5)
    #expect(ping(pair, from: 0).contains(" 0% packet loss"))
    pair.stop()
  }

  @Test func removalEndsTheSessionAndItsDeviceAtOnce() throws {
    let pair = try connected()
    try pair.lab.inside(pair.lab.a) { pair.a?.apply(GatewayPlan()) }
    #expect(pair.a?.status().tunnels.isEmpty == true)
    #expect(pair.wait(1) { pair.tunnel(1)?.state != .established } != nil)
    let gone = pair.wait(1) {
      GatewayLab.shell("ip -n \(pair.lab.a) link show slice0") != nil
    }
    #expect(gone != nil)
    // And back again.
    let plan = try pair.plan(0)
    try pair.lab.inside(pair.lab.a) { pair.a?.apply(plan) }
    #expect(pair.wait(3) { pair.established } != nil)
    pair.stop()
  }

  @Test func refusalsAreOneClearLine() throws {
    let pair = try GatewayPair()
    try pair.start(0)
    #expect {
      try pair.start(0)
    } throws: { error in
      "\(error)" == "cannot listen on 192.0.2.1:7900/udp: Address already in use"
    }
    var plan = try pair.plan(0)
    plan.slices[0].device = "a-name-that-is-too-long"
    plan.slices[0].slice = "green"
    plan.peers = []
    try pair.lab.inside(pair.lab.a) { [plan] in pair.a?.apply(plan) }
    let told = pair.wait(1) {
      pair.events.withLock { events in
        events.contains {
          if case .sliceFailed("green", let reason) = $0.event {
            reason.contains("no name for a TUN device")
          } else {
            false
          }
        }
      }
    }
    #expect(told != nil)
    pair.stop()
  }

  /// A network that does not even carry a handshake: said once, not with every try.
  @Test func anMTUThatIsTooSmallIsOneClearLine() throws {
    let pair = try GatewayPair()
    for namespace in [pair.lab.a, pair.lab.b] {
      try pair.lab.run("ip -n \(namespace) link set veth0 mtu 700")
    }
    for index in 0..<2 { try pair.start(index) }
    func lines() -> [String] {
      pair.events.withLock { events in
        events.compactMap {
          if case .unreachable(_, let reason) = $0.event { reason } else { nil }
        }
      }
    }
    #expect(pair.wait(5) { !lines().isEmpty } != nil)
    usleep(1_000_000)
    let told = lines()
    #expect(told.count <= 2 && told.allSatisfy { $0.hasSuffix("its MTU is too small") }, "\(told)")
    // And it heals when the network does.
    for namespace in [pair.lab.a, pair.lab.b] {
      try pair.lab.run("ip -n \(namespace) link set veth0 mtu 1500")
    }
    #expect(pair.wait(10) { pair.established } != nil)
    pair.stop()
  }
}
