public import Base
internal import Replication

/// A slice's device in the gateway of this cluster.
public struct GatewayDevice: Hashable, Sendable {
  public var slice: String
  /// At most 15 bytes, the kernel's limit.
  public var device: String
  /// The gateway's own address in this cluster's block.
  public var address: IPAddress
  /// Of the slice: assigned with its length, the address brings the route to all members along.
  public var cidr: IPPrefix
  /// This cluster's block: the only inner destinations taken from tunnels.
  public var block: IPPrefix
  public var qos: SliceQoS

  public init(
    slice: String, device: String, address: IPAddress, cidr: IPPrefix, block: IPPrefix,
    qos: SliceQoS
  ) {
    self.slice = slice
    self.device = device
    self.address = address
    self.cidr = cidr
    self.block = block
    self.qos = qos
  }

  /// `sl-blue`; a longer name keeps its beginning and gets a hash.
  public static func deviceName(of slice: String) -> String {
    let plain = "sl-\(slice)"
    guard plain.utf8.count > 15 else { return plain }
    let hash = String(StableHash.of(slice) >> 40, radix: 16)
    return "sl-\(slice.prefix(5))-" + String(repeating: "0", count: 6 - hash.utf8.count) + hash
  }
}

/// A tunnel that there should be.
public struct GatewayTunnel: Hashable, Sendable {
  public var slice: String
  /// The remote cluster and its gateway.
  public var cluster: String
  public var replica: String
  /// Best first; empty: the other side has to begin, or it goes through a common neighbour.
  public var endpoints: [IPEndpoint]
  /// The remote gateway's static X25519 key, 32 bytes.
  public var key: [UInt8]
  /// The remote cluster's CA, X.509 DER.
  public var certificateAuthority: [UInt8]
  /// What is routed to it, and the only inner sources taken from it.
  public var block: IPPrefix

  public init(
    slice: String, cluster: String, replica: String, endpoints: [IPEndpoint], key: [UInt8],
    certificateAuthority: [UInt8], block: IPPrefix
  ) {
    self.slice = slice
    self.cluster = cluster
    self.replica = replica
    self.endpoints = endpoints
    self.key = key
    self.certificateAuthority = certificateAuthority
    self.block = block
  }
}

/// Devices and tunnels: as they should be, or as they are.
public struct GatewayState: Hashable, Sendable {
  /// Ascending by slice.
  public var devices: [GatewayDevice]
  /// Ascending by slice, cluster, replica.
  public var tunnels: [GatewayTunnel]

  public init(devices: [GatewayDevice] = [], tunnels: [GatewayTunnel] = []) {
    self.devices = devices
    self.tunnels = tunnels
  }
}

public enum GatewayAction: Hashable, Sendable {
  case closeTunnel(slice: String, cluster: String, replica: String)
  case closeDevice(slice: String)
  case openDevice(GatewayDevice)
  /// Also for a tunnel that is open and has other endpoints, keys or a block now.
  case openTunnel(GatewayTunnel)
}

public enum GatewayReconciler {
  /// Why there is no tunnel to a cluster that there should be one to: for `explain`.
  public struct Waiting: Hashable, Sendable {
    public var slice: String
    public var cluster: String
    public var reason: String
  }

  public static func desired(
    _ view: ClustersetView, cluster: String
  ) -> (state: GatewayState, waiting: [Waiting]) {
    var state = GatewayState()
    var waiting: [Waiting] = []
    for slice in view.slices(of: cluster) {
      guard slice.isActive(cluster), let cidr = slice.network?.cidr,
        slice.network?.overlay != SliceOverlay.none, let block = slice.member(cluster)?.block,
        let address = AddressAllocator.gateway(0, in: block)
      else { continue }
      state.devices.append(
        GatewayDevice(
          slice: slice.name, device: GatewayDevice.deviceName(of: slice.name), address: address,
          cidr: cidr, block: block, qos: slice.qos))
      let relayed = slice.relayedNeighbours(of: cluster)
      let neighbours = (slice.neighbours(of: cluster) + relayed).sorted { $0.cluster < $1.cluster }
      for neighbour in neighbours {
        switch tunnels(to: neighbour, in: slice.name, view) {
        case .success(var tunnels):
          if relayed.contains(where: { $0.cluster == neighbour.cluster }) {
            for index in tunnels.indices { tunnels[index].endpoints = [] }
          }
          state.tunnels += tunnels
        case .failure(let reason):
          waiting.append(
            Waiting(slice: slice.name, cluster: neighbour.cluster, reason: reason.text))
        }
      }
    }
    return (state, waiting)
  }

  private struct NotYet: Error {
    var text: String
  }

  /// One to each gateway of a member; a flow takes one that answers.
  private static func tunnels(
    to member: MemberView, in slice: String, _ view: ClustersetView
  ) -> Result<[GatewayTunnel], NotYet> {
    guard let info = view.clusters[member.cluster]?.info, !info.certificateAuthority.isEmpty else {
      return .failure(NotYet(text: "\(member.cluster) has not joined yet"))
    }
    guard let gateway = member.gateway else {
      return .failure(NotYet(text: "\(member.cluster) has published no gateway yet"))
    }
    let gateways = member.gateways.filter { $0.block == member.blockIndex }
    guard let block = member.block, !gateways.isEmpty else {
      return .failure(
        NotYet(text: "\(member.cluster) still uses block \(gateway.block), not the one it has"))
    }
    return .success(
      gateways.map {
        GatewayTunnel(
          slice: slice, cluster: member.cluster, replica: $0.replica, endpoints: $0.endpoints,
          key: $0.key, certificateAuthority: info.certificateAuthority, block: block)
      })
  }

  /// What leads from one state to the other: what is to go first, so that nothing overlaps.
  public static func plan(desired: GatewayState, observed: GatewayState) -> [GatewayAction] {
    var actions: [GatewayAction] = []
    let devices = Dictionary(
      desired.devices.map { ($0.slice, $0) }, uniquingKeysWith: { a, _ in a })
    let kept = observed.devices.filter { devices[$0.slice] == $0 }
    for tunnel in observed.tunnels
    where !desired.tunnels.contains(where: { $0.isSameTunnel(as: tunnel) })
      || !kept.contains(where: { $0.slice == tunnel.slice })
    {
      actions.append(
        .closeTunnel(slice: tunnel.slice, cluster: tunnel.cluster, replica: tunnel.replica))
    }
    for device in observed.devices where !kept.contains(device) {
      actions.append(.closeDevice(slice: device.slice))
    }
    for device in desired.devices where !kept.contains(device) {
      actions.append(.openDevice(device))
    }
    let stays = observed.tunnels.filter { tunnel in kept.contains { $0.slice == tunnel.slice } }
    for tunnel in desired.tunnels where !stays.contains(tunnel) {
      actions.append(.openTunnel(tunnel))
    }
    return actions
  }

  /// The write that publishes a gateway of this cluster in a slice; `nil` where nothing changes.
  ///
  /// `since` stays while the block does: it is what keeps the block this cluster's.
  public static func publication(
    _ slice: SliceView, cluster: String, endpoints: [IPEndpoint], key: [UInt8],
    replica: String = GatewayRecord.first, now milliseconds: UInt64
  ) -> RegisterWrite? {
    guard let member = slice.member(cluster), member.isActive, let block = member.blockIndex else {
      return nil
    }
    let old = member.gateways.first { $0.replica == replica }
    let since = member.gateways.filter { $0.block == block }.map(\.sinceMilliseconds).min()
    let new = GatewayRecord(
      replica: replica, endpoints: Array(endpoints.prefix(GatewayRecord.endpointLimit)), key: key,
      block: block, sinceMilliseconds: since ?? milliseconds)
    guard new != old else { return nil }
    return RegisterWrite(
      scope: .slice(slice.name),
      path: SlicePath.gateway(slice: slice.name, cluster: cluster, replica: replica).text,
      value: new.value)
  }

  /// The writes that take back gateways of this cluster which it has no more, ascending by replica.
  public static func withdrawals(
    _ slice: SliceView, cluster: String, keeping replicas: Set<String>
  ) -> [RegisterWrite] {
    let known = slice.member(cluster)?.gateways.map(\.replica) ?? []
    return known.filter { !replicas.contains($0) }.map {
      RegisterWrite(
        scope: .slice(slice.name),
        path: SlicePath.gateway(slice: slice.name, cluster: cluster, replica: $0).text, value: nil)
    }
  }
}

extension GatewayTunnel {
  fileprivate func isSameTunnel(as other: GatewayTunnel) -> Bool {
    slice == other.slice && cluster == other.cluster && replica == other.replica
  }
}
