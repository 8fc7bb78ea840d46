internal import Base
internal import NIOCore

/// One connection, from the moment its socket is there. Confined to the transport's event loop.
final class StreamConnection {
  enum Phase {
    case handshaking
    case open
    case closed
  }

  let id: StreamID
  let direction: StreamDirection
  let remote: IPEndpoint
  let channel: any Channel
  /// Whom we called; `nil` inbound and where whoever answers is welcome.
  let expected: NodeID?
  /// Succeeds when the connection is open, fails when it will not be.
  let opened: EventLoopPromise<Void>

  var phase = Phase.handshaking
  var chain: [[UInt8]] = []
  var identity: StreamIdentity?
  var closure: StreamClosure?
  var deadline: Scheduled<Void>?
  var lastUsed: NIODeadline = .now()
  var waitingBytes = 0
  var receivedBytes = 0
  var receivedFrames = 0

  init(
    id: StreamID, direction: StreamDirection, remote: IPEndpoint, channel: any Channel,
    expected: NodeID?
  ) {
    self.id = id
    self.direction = direction
    self.remote = remote
    self.channel = channel
    self.expected = expected
    opened = channel.eventLoop.makePromise()
  }

  var node: NodeID? { identity?.node }

  /// Somebody whom no signature has vouched for yet.
  var isStranger: Bool { direction == .inbound && node == nil }
}

/// What is known of the way to one peer. Confined to the transport's event loop.
struct StreamLink {
  /// Open connections, the oldest first.
  var connections: [StreamID] = []
  var isDialing = false
  var queue: [[UInt8]] = []
  var queuedBytes = 0
  var failures = 0
  var retryAt: NIODeadline = .distantPast
  var lastReason = ""
}
