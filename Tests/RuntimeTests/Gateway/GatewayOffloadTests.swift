import Base
import CLinux
import Foundation
import Testing
import Tunnel

@testable import Runtime

/// Super-packets through real devices, narrow paths, and the cipher of packets.
@Suite(.serialized, .enabled(if: GatewayLab.obstacle == nil, "\(GatewayLab.obstacle ?? "")"))
struct GatewayOffloadTests {
  private func connected(_ prepare: (GatewayPair) throws -> Void = { _ in }) throws -> GatewayPair {
    let pair = try GatewayPair()
    try prepare(pair)
    for index in 0..<2 { try pair.start(index) }
    let seconds = pair.wait(10) { pair.established }
    try #require(seconds != nil, "\(String(describing: pair.tunnel(0)?.lastError))")
    return pair
  }

  /// TCP crosses the device in packets larger than any datagram, and arrives as it was said.
  @Test func streamsAreCutAndMerged() throws {
    let pair = try connected()
    let stream = try EchoedStream(pair)
    #expect(try stream.exchange(bytes: 10_000_000))
    stream.close()
    for index in 0..<2 {
      let status = try #require(pair.tunnel(index))
      // Segments of 1,368 bytes went out; had they been sent whole, there were a tenth of them.
      #expect(status.sentPackets > 7_000 && status.receivedPackets > 7_000)
      #expect(status.drops.isEmpty, "\(status.drops)")
    }
    pair.stop()
  }

  /// Datagrams that a sender hands over in one piece (UDP_SEGMENT) arrive one by one.
  @Test func datagramsOfOnePieceArriveOneByOne() throws {
    let pair = try connected()
    let kind = Int32(SOCK_DGRAM.rawValue)
    let receiver = try pair.lab.socket(
      pair.namespace(1), kind, bind: GatewayPair.innerB, port: 5_300)
    let sender = try pair.lab.socket(pair.namespace(0), kind, bind: GatewayPair.innerA)
    defer {
      close(sender)
      close(receiver)
    }
    var segment: Int32 = 1_000
    // SOL_UDP, UDP_SEGMENT.
    let result = setsockopt(sender, 17, 103, &segment, socklen_t(MemoryLayout<Int32>.size))
    try #require(result == 0, "UDP_SEGMENT: \(errno)")
    let payload = (0..<30_500).map { UInt8(truncatingIfNeeded: $0 / 1_000 &+ $0) }
    var target = sockaddr_in.make(GatewayPair.innerB, 5_300)
    let sent = target.with { address, length in
      sendto(sender, payload, payload.count, 0, address, length)
    }
    #expect(sent == payload.count)
    var timeout = timeval(tv_sec: 5, tv_usec: 0)
    setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    var received: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 2_000)
    while received.count < payload.count {
      let count = recv(receiver, &buffer, buffer.count, 0)
      guard count > 0 else { break }
      #expect(count == min(1_000, payload.count - received.count))
      received += buffer.prefix(count)
    }
    #expect(received == payload)
    pair.stop()
  }

  /// The outer link carries 1,350 bytes: the device learns it, and streams fit.
  @Test func aNarrowPathNarrowsTheDevice() throws {
    let pair = try connected { pair in
      for namespace in [pair.lab.a, pair.lab.b] {
        try pair.lab.run("ip -n \(namespace) link set veth0 mtu 1350")
      }
    }
    let largest = 1_350 - 28
    let found = pair.wait(15) {
      (0..<2).allSatisfy { index in
        (largest - 8...largest).contains(pair.tunnel(index)?.pathSize ?? 0)
      }
    }
    #expect(found != nil, "\(String(describing: pair.tunnel(0)?.pathSize))")
    let stream = try EchoedStream(pair)
    #expect(try stream.exchange(bytes: 2_000_000))
    stream.close()
    let size = try #require(pair.tunnel(0)?.pathSize)
    let link = GatewayLab.output("ip -n \(pair.lab.a) link show slice0").text
    #expect(link.contains("mtu \(size - 32) "), "\(link)")
    pair.stop()
  }
}

@Suite struct PacketCipherTests {
  /// Test cases 13 and 14 of McGrew and Viega, The Galois/Counter Mode of Operation, appendix B.
  @Test func sealsAsTheSpecificationDoes() {
    let (key, nonce) = ([UInt8](repeating: 0, count: 32), [UInt8](repeating: 0, count: 12))
    let sealed = TunnelOpenSSL.crypto.seal(key, nonce, [], [UInt8](repeating: 0, count: 16))
    #expect(
      sealed.map { String(format: "%02x", $0) }.joined()
        == "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
    let empty = TunnelOpenSSL.crypto.seal(key, nonce, [], [])
    #expect(
      empty.map { String(format: "%02x", $0) }.joined() == "530f8afbc74536b9a963b4f1c4cb738b")
  }

  /// One context for many packets in any order seals and opens as a fresh one for each.
  @Test func contextsAreUsedAgain() throws {
    let iv = try #require(PacketIV((1...12).map { UInt8($0) }))
    let key = LaneKey(key: (0..<32).map { UInt8($0) }, iv: iv)
    let sealer = try #require(PacketCipher(key, encrypts: true))
    let opener = try #require(PacketCipher(key, encrypts: false))
    defer {
      sealer.free()
      opener.free()
    }
    for counter: UInt64 in [0, 1, 7, 3, 0xff00_0000_0000_0001, 2, 1 << 55] {
      for length in [0, 1, 16, 100, 1_420] {
        let text = (0..<length).map { UInt8(truncatingIfNeeded: $0 &+ Int(counter & 0xff)) }
        let header = (0..<16).map { UInt8(truncatingIfNeeded: $0 &* length) }
        var packet = header + text + [UInt8](repeating: 0, count: 16)
        packet.withUnsafeMutableBufferPointer { buffer in
          guard let base = buffer.baseAddress else { return }
          #expect(sealer.seal(base, length: length, counter: counter))
        }
        let fresh = TunnelOpenSSL.crypto.seal(key.key, iv.nonce(counter).bytes, header, text)
        #expect(Array(packet.dropFirst(16)) == fresh)
        var forged = packet
        forged[forged.count - 1] ^= 1
        forged.withUnsafeMutableBufferPointer { buffer in
          guard let base = buffer.baseAddress else { return }
          #expect(!opener.open(base, length: length, counter: counter))
        }
        packet.withUnsafeMutableBufferPointer { buffer in
          guard let base = buffer.baseAddress else { return }
          #expect(opener.open(base, length: length, counter: counter))
        }
        #expect(Array(packet.dropFirst(16).dropLast(16)) == text)
      }
    }
  }
}
