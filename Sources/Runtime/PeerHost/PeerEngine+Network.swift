internal import Base
internal import Logging
internal import Membership
internal import NIOCore
internal import Peer
internal import Replication
internal import Synchronization
internal import Wire

/// Between the core and the sockets.
extension PeerEngine {
  // MARK: In

  func receive(_ datagrams: [ReceivedDatagram]) {
    var replies: [OutgoingDatagram] = []
    for datagram in datagrams {
      let opened = bound.value.sessions.open(
        datagram.bytes, from: datagram.from, now: WallClock.now.instant, into: &replies)
      switch opened {
      case .message(let sender, let bytes):
        deliver(bytes, from: sender)
      case .handshake: break
      case .dropped(let reason): metrics.droppedDatagram(reason)
      }
    }
    metrics.sent(datagrams: replies)
    transports.withLock { $0 }?.datagrams.send(replies)
    scheduleWake()
  }

  private func deliver(_ bytes: [UInt8], from sender: NodeID) {
    do throws(WireError) {
      let messages = try EnvelopeCodec.decode(bytes, crypto: .sodium)
      bound.value.silence.datagram(from: sender, now: WallClock.now.instant)
      handle(.received(from: sender, messages))
    } catch {
      metrics.malformed("datagram")
      logger.debug("a datagram was refused", metadata: ["from": "\(sender)", "why": "\(error)"])
    }
  }

  func receive(_ event: StreamEvent) {
    switch event {
    case .opened(let stream, let identity, let direction, _):
      if direction == .outbound { introduceSelf(on: stream, to: identity) }
      if let node = identity.node { receiveOnStream([], from: node) }
    case .identified(_, let identity):
      if let node = identity.node { receiveOnStream([], from: node) }
    case .frame(let stream, let identity, let bytes):
      receive(frame: bytes, on: stream, from: identity)
    case .closed(let stream, _, _):
      bound.value.introducedOn.remove(stream)
    case .unreachable(let node, let reason, _):
      logger.debug("no stream", metadata: ["to": "\(node)", "why": "\(reason)"])
      introduceToUnvouched(node)
      handle(.streamProbe(node, reachable: false))
    case .addressUnreachable(let address, let reason):
      logger.info("a seed does not answer", metadata: ["seed": "\(address)", "why": "\(reason)"])
    case .dropped(let node, let bytes):
      logger.warning("a frame was dropped", metadata: ["to": "\(node)", "bytes": "\(bytes)"])
    case .refused(let refusal, _):
      metrics.refusedStream(refusal)
    }
  }

  private func receive(frame: [UInt8], on stream: StreamID, from identity: StreamIdentity) {
    do throws(WireError) {
      let messages = try EnvelopeCodec.decode(frame, crypto: .sodium)
      if let node = identity.node {
        return receiveOnStream(messages, from: node, reply: stream)
      }
      for message in messages {
        switch message {
        case .introduce(let changesets): handle(.introduced(stream, changesets))
        case .refused(let reason):
          logger.error("the seed refused this peer", metadata: ["why": "\(reason)"])
        default: metrics.malformed("unadmitted")
        }
      }
      // What came may prove who is at the far end.
      transports.withLock { $0 }?.streams.trustChanged()
    } catch {
      metrics.malformed("frame")
      transports.withLock { $0 }?.streams.close(stream)
    }
  }

  private func receiveOnStream(
    _ messages: [PeerMessage], from node: NodeID, reply: StreamID? = nil
  ) {
    bound.value.silence.frame(from: node, now: WallClock.now.instant)
    handle(.received(from: node, messages), reply: reply)
  }

  // MARK: Out

  func send(_ messages: [PeerMessage], to node: NodeID) {
    sendOnStreamIfSilent(messages, to: node)
    guard let address = address(of: node) else { return }
    var out: [OutgoingDatagram] = []
    bound.value.sessions.seal(
      EnvelopeCodec.encode(messages), to: node, at: address, now: WallClock.now.instant,
      into: &out)
    metrics.sent(datagrams: out)
    transports.withLock { $0 }?.datagrams.send(out)
  }

  /// Beside the datagram, which tells when the way is open again.
  private func sendOnStreamIfSilent(_ messages: [PeerMessage], to node: NodeID) {
    let now = WallClock.now.instant
    guard let silence = bound.value.silence.silence(of: node, now: now) else { return }
    sendFrame(messages, to: node)
    metrics.streamed(messages.count)
    guard silence >= DatagramSilence.patience, now >= bound.value.nextSilenceWarning else { return }
    bound.value.nextSilenceWarning = now + .seconds(60)
    let cluster = bound.value.peer.admitted[node]?.cluster ?? "?"
    let addresses = addresses(of: node).joined(separator: ",")
    logger.warning(
      "no datagram of a peer arrives, but its streams do: let UDP through, both ways, as TCP is",
      metadata: ["cluster": "\(cluster)", "addresses": "\(addresses)"])
  }

  func sendFrame(_ messages: [PeerMessage], to node: NodeID) {
    let bytes = EnvelopeCodec.encode(messages)
    metrics.sent(frameBytes: bytes.count)
    transports.withLock { $0 }?.streams.send(bytes, to: node, addresses: addresses(of: node))
  }

  func addresses(of node: NodeID) -> [String] {
    if let member = bound.value.peer.membership.member(node), !member.addresses.isEmpty {
      return member.addresses
    }
    // Whoever was expelled by this very input is still told why.
    return bound.value.peer.admitted[node]?.addresses
      ?? trust.withLock { $0[node]?.addresses } ?? []
  }

  private func address(of node: NodeID) -> IPEndpoint? {
    for text in addresses(of: node) {
      if let endpoint = resolver.lookup(text) { return endpoint }
    }
    return nil
  }
}
