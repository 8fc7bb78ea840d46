public import Base
public import Slices

/// What this cluster adds to a slice's view when it answers names.
public struct NameSources: Sendable {
  public var reachability: Reachability
  /// In place of what the exporters name, where this cluster has its own address for an imported
  /// service (`spec.ips` of a ServiceImport).
  public var serviceAddresses: [ServiceName: [IPAddress]]
  /// Services get such addresses here: for one that has none yet its endpoints stand in only where they
  /// have the service's own ports.
  public var hasServiceAddresses: Bool
  /// What this cluster's own exports have behind them, where that is reached as it is and not by
  /// slice addresses: the same as in its EndpointSlices (KEP-1645).
  public var localEndpoints: [ServiceName: [ServiceEndpoint]]

  public init(
    reachability: Reachability, serviceAddresses: [ServiceName: [IPAddress]] = [:],
    hasServiceAddresses: Bool = false, localEndpoints: [ServiceName: [ServiceEndpoint]] = [:]
  ) {
    self.reachability = reachability
    self.serviceAddresses = serviceAddresses
    self.hasServiceAddresses = hasServiceAddresses
    self.localEndpoints = localEndpoints
  }

  /// The service as it is from here.
  func known(_ service: ServiceImport) -> ServiceImport {
    guard let endpoints = localEndpoints[service.service],
      let index = service.exports.firstIndex(where: { $0.cluster == reachability.local })
    else { return service }
    var out = service
    out.exports[index].endpoints = endpoints
    return out
  }
}
