internal import Base

/// The gateway process of one cluster: one UDP port, a TUN device a slice, a session per slice and
/// remote gateway. See `docs/` and the `Tunnel` core, which decides everything that is not I/O.
public final class Gateway: Sendable {
  /// Opens the UDP port and starts the threads, in the network namespace of the calling thread.
  public init(_ configuration: GatewayConfiguration) throws(GatewayError) {
    throw .unavailable("the tunnel is not built yet")
  }

  /// Makes devices and sessions what the plan says. TUN devices are made in the network namespace
  /// of the calling thread. Idempotent; a changed identity means a rotation.
  public func apply(_ plan: GatewayPlan) {}

  /// Takes a new leaf for a slice: a full handshake beside each live session, then the switch.
  public func rotate(slice: String, identity: TunnelIdentity) {}

  /// Starts an epoch rekey on every session now.
  public func rekey() {}

  public func status() -> GatewayStatus {
    GatewayStatus(listen: IPEndpoint(IPAddress(v4: 0), port: 0), tunnels: [], drops: [])
  }

  /// Ends every session, removes the devices, joins the threads.
  public func stop() {}
}

/// Why a gateway could not do what was asked, as a sentence.
public enum GatewayError: Error, Hashable, Sendable {
  case unavailable(String)
}
