internal import Base
internal import CLinux
internal import Glibc
internal import Tunnel

/// The TUN device of one slice. It is there as long as this object is; a shared one as long as any
/// gateway of this machine has it.
final class TunnelDevice: Sendable {
  let name: String
  let descriptor: Int32
  /// The kernel knows packets of several UDP datagrams (Linux 6.2).
  let mergesUDP: Bool

  /// Makes the device in the network namespace of the calling thread.
  init(_ config: TunnelSliceConfig) throws(GatewayError) {
    guard (576...GatewayLimits.largestMTU).contains(config.mtu) else {
      throw .refused(
        "slice \(config.slice): MTU \(config.mtu) is not within 576 to \(GatewayLimits.largestMTU)")
    }
    var cutsUDP: Int32 = 0
    let result = starling_tun_open(config.device, config.isShared ? 1 : 0, &cutsUDP)
    guard result >= 0 else {
      throw .refused(Self.explain(-result, config.device))
    }
    name = config.device
    descriptor = result
    mergesUDP = cutsUDP != 0
    try configure(config)
  }

  deinit {
    close(descriptor)
  }

  /// Takes part in a shared device: gets those flows that the kernel chooses. False where the kernel
  /// refuses the change.
  func setAttached(_ isAttached: Bool) -> Bool {
    starling_tun_attach(descriptor, isAttached ? 1 : 0) >= 0
  }

  /// The MTU that somebody gave it last.
  var mtu: Int? {
    let mtu = starling_link_mtu(name)
    return mtu > 0 ? Int(mtu) : nil
  }

  /// Brings addresses and MTU to what the configuration says; `mtu`: what the paths carry, if less.
  func configure(_ config: TunnelSliceConfig, mtu: Int? = nil) throws(GatewayError) {
    // Below 1,280 bytes the kernel takes IPv6 addresses away (RFC 8200 section 5); with larger packets
    // lost the others still go.
    let least = config.addresses.contains { $0.address.family == .v6 } ? 1_280 : 0
    // IPv6 needs the interface up before it takes addresses.
    var result = starling_link_up(name, Int32(clamping: max(mtu ?? config.mtu, least)))
    for assignment in config.addresses where result >= 0 {
      let bytes = assignment.address.bytes
      result = starling_link_add_address(
        name, bytes, bytes.count, Int32(clamping: assignment.prefixLength))
    }
    guard result >= 0 else {
      throw .refused("cannot set up the device \(name): \(GatewayError.text(-result))")
    }
  }

  private static func explain(_ code: Int32, _ name: String) -> String {
    switch code {
    case ENOENT, ENODEV, ENXIO:
      "there is no /dev/net/tun here: load the tun module, or give the container the device"
    case EPERM, EACCES:
      "no permission to make the TUN device \(name): CAP_NET_ADMIN is needed"
    case EBUSY: "the TUN device \(name) is in use by another process"
    case EINVAL where !name.isEmpty && name.utf8.count < 16:
      "the TUN device \(name) is in use by another process, which shares it otherwise"
    case EINVAL: "\"\(name)\" is no name for a TUN device (1 to 15 bytes)"
    default: "cannot make the TUN device \(name): \(GatewayError.text(code))"
    }
  }
}

/// The one UDP port of a gateway.
final class TunnelPort: Sendable {
  let descriptor: Int32
  let isV6: Bool
  /// What it is bound to.
  let local: IPEndpoint

  init(_ listen: IPEndpoint) throws(GatewayError) {
    isV6 = listen.address.family == .v6
    var address = Self.raw(listen, isV6: isV6)
    let result = starling_udp_open(&address, isV6 ? 1 : 0)
    guard result >= 0 else {
      throw .refused("cannot listen on \(listen)/udp: \(GatewayError.text(-result))")
    }
    descriptor = result
    var bound = starling_endpoint()
    local =
      starling_udp_local(result, &bound) >= 0 ? Self.endpoint(bound) ?? listen : listen
  }

  deinit {
    close(descriptor)
  }

  func raw(_ endpoint: IPEndpoint) -> starling_endpoint {
    Self.raw(endpoint, isV6: isV6)
  }

  private static func raw(_ endpoint: IPEndpoint, isV6: Bool) -> starling_endpoint {
    let bytes = endpoint.address.bytes
    return starling_endpoint_make(bytes, bytes.count, endpoint.port, isV6 ? 1 : 0)
  }

  static func endpoint(_ raw: starling_endpoint) -> IPEndpoint? {
    var raw = raw
    var port: UInt16 = 0
    var bytes = [UInt8](repeating: 0, count: 16)
    let count = starling_endpoint_read(&raw, &bytes, &port)
    return IPAddress(bytes: bytes.prefix(count)).map { IPEndpoint($0, port: port) }
  }

  /// The local address that datagrams to an endpoint leave from.
  func source(to endpoint: IPEndpoint) -> IPAddress? {
    if local.address.bytes.contains(where: { $0 != 0 }) { return local.address }
    var remote = raw(endpoint)
    var source = starling_endpoint()
    guard starling_udp_source(&remote, isV6 ? 1 : 0, &source) >= 0 else { return nil }
    return Self.endpoint(source)?.address
  }

  /// Sends one datagram of the control path; what cannot be sent is as good as lost. Gives 0, or an
  /// error code that does not pass by itself.
  func send(_ bytes: [UInt8], to endpoint: IPEndpoint) -> Int32 {
    var target = raw(endpoint)
    let result = starling_udp_send(descriptor, bytes, bytes.count, &target)
    return result < 0 && ![-EAGAIN, -ENOBUFS, -ENOMEM, -EINTR].contains(result) ? -result : 0
  }

  func send(_ bytes: [UInt8], to target: starling_endpoint) {
    var target = target
    _ = starling_udp_send(descriptor, bytes, bytes.count, &target)
  }

  /// Waits until the socket's buffer has room, for a while.
  func waitForRoom() -> Bool {
    var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    return poll(&wait, 1, 100) > 0
  }
}

/// Bounds of the gateway's own I/O.
enum GatewayLimits {
  static let largestMTU = 9_000
  /// What a TUN device gives at once.
  static let largestPacket = 65_535
  /// Messages received per system call, and how many where each is several datagrams.
  static let messages = 64
  static let joinedMessages = 8
  /// Packets read from a device before another one's turn.
  static let reads = 64
  /// Bytes of datagrams that are worth a system call, and work of a turn that is worth a thread.
  static let flush = 60 << 10
  /// What reading one packet costs, in bytes handled.
  static let packetWork = 1 << 10
  /// A turn with less work had little to do; after so many the receiving thread does it along.
  static let quietTurn = 8 << 10
  static let quietTurns = 64
  /// Inputs of the control path that wait; more are dropped and counted.
  static let inbox = 1_024
  /// How many of them may be handshake datagrams: a flood of those must not push out the probes and
  /// rekeys of live sessions.
  static let handshakes = 512
  static let devices = TunnelLimits.devices
  /// How long the data threads sleep at least while packets wait for their slice's rate, in
  /// nanoseconds: a fraction of what a bucket saves up.
  static let leastWait: Int64 = 200_000
}

extension GatewayError {
  static func text(_ code: Int32) -> String {
    String(cString: strerror(code))
  }
}
