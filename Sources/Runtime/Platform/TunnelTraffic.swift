internal import Base
internal import Slices

extension TunnelQoS {
  /// `nil` where the slice's section says nothing.
  init?(_ qos: SliceQoS) {
    guard qos != SliceQoS() else { return nil }
    self.init(
      ceilingKbps: qos.ceilingKbps, guaranteedKbps: qos.guaranteedKbps, priority: qos.priority,
      dscp: qos.dscp.codePoint)
  }
}

extension TunnelServiceConfig {
  /// What the slices of these devices export, by the converged state: addresses of endpoints and of
  /// services themselves.
  static func list(_ view: ClustersetView, devices: [GatewayDevice]) -> [TunnelServiceConfig] {
    devices.flatMap { device in
      (view.slices[device.slice]?.exports ?? []).map { export in
        TunnelServiceConfig(
          slice: device.slice, cluster: export.cluster, namespace: export.service.namespace,
          name: export.service.name, addresses: export.vips + export.endpoints.map(\.address))
      }
    }
  }
}
