public import Base

/// What reaches the core.
public enum TunnelInput: Sendable {
  /// The links that the converged state names now; those missing end at once.
  case configure([LinkConfig])
  /// A handshake datagram that `ReceiveTable.admit` let through.
  case datagram([UInt8], from: TunnelSource)
  /// The newest authentic packet of a session came from another address than its own.
  case moved(SessionID, from: IPEndpoint)
  /// The first authentic packet of an epoch came (`heard` of `ReceiveTable.accept`).
  case heard(SessionID, epoch: UInt64)
  /// A session message that was opened.
  case message(SessionID, [UInt8])
  /// A key is worn (`wantsRekey` of `TransmitTable`).
  case worn(SessionID)
  /// Every session goes to its next epoch as soon as it may.
  case rekey
  /// A full handshake beside each live session of the slice: a new leaf is in place.
  case renew(slice: String)
  case tick
  /// Says goodbye on every session.
  case stop
}

/// What the core wants done, in order.
public enum TunnelEffect: Hashable, Sendable {
  /// Sends a handshake datagram: as it is, or in a relayed packet.
  case send([UInt8], to: TunnelTarget)
  /// Seals a session message on the control lane and sends it to the session's target.
  case sendMessage(SessionID, [UInt8])
  /// The same to an address that the session may move to.
  case challenge(SessionID, [UInt8], at: IPEndpoint)
  /// The session's packets go there from now on.
  case retarget(SessionID, TunnelTarget)
  /// Who is meant by addresses of relayed packets, sorted.
  case relays([RelayEntry])
  /// The session that carries a link's traffic, and that of others who are relayed.
  case active(link: Int, SessionID?)
  /// The tags that handshake datagrams may carry.
  case tags([UInt64])
  /// A link's figures start from zero.
  case openLink(Int, LinkID)
  case open(SessionOpening)
  case close(SessionID)
  case setBlocks(SessionID, local: [IPPrefix], remote: [IPPrefix])
  /// Keys in the order of the lanes, the control lane last.
  case installReceive(SessionID, epoch: UInt64, [LaneKey])
  /// Sends with this epoch from now on.
  case installSend(SessionID, epoch: UInt64, [LaneKey])
  case removeReceive(SessionID, epoch: UInt64)
  /// No more data until the next epoch.
  case halt(SessionID)
  case routes(slice: String, [TransmitTable.Route])
  /// What every path of the slice carries of an inner packet: the device's MTU from now on.
  case mtu(slice: String, Int)
  case event(TunnelEvent)
}

public enum TunnelEvent: Hashable, Sendable {
  case reachability(slice: String, cluster: String, reachable: Bool)
  /// A session took over the link's traffic.
  case established(LinkID)
  case handshakeFailed(LinkID, reason: String)
  /// A handshake datagram was refused after it was let through: counted, nothing changed.
  case refusedDatagram(TunnelDrop)
  /// A session went to its next epoch.
  case rekeyed(LinkID, epoch: UInt64)
  /// A session follows the far side to another address.
  case roamed(LinkID, to: IPEndpoint)
}

/// A link at one moment.
public struct LinkStatus: Hashable, Sendable {
  public enum State: Hashable, Sendable {
    case waiting
    case connecting
    case established
    case unreachable
  }

  public var id: LinkID
  /// Its number in the tables.
  public var link: Int
  public var state: State
  public var endpoint: IPEndpoint?
  /// The gateway that hands everything on, where there is no direct path.
  public var relay: LinkID?
  /// Our own address as the far side sees it.
  public var observed: IPEndpoint?
  public var peer: TLSPeer?
  public var epoch: UInt64?
  public var keyAge: Duration?
  public var sessionAge: Duration?
  public var roundTripTime: Duration?
  public var jitter: Duration?
  /// 0 to 1.
  public var loss: Double?
  /// The largest datagram that the path carries, without UDP and IP headers.
  public var pathSize: Int?
  public var handshakes: UInt64
  public var failedHandshakes: UInt64
  public var rekeys: UInt64
  public var lastError: String?
}
