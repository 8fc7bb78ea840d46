internal import Kubernetes

extension KubernetesPlatform {
  /// What is watched in every cluster. The MCS types may not be served.
  static func watches(in namespace: String) -> [WatchConfiguration] {
    configurations([
      .namespaces, .services, .endpointSlices, .serviceExports, .serviceImports, .slices,
      .clusterPeers, .signedChangesets,
    ])
      + (OperatorPlanner.watched + NodeNetworkPlanner.watched + GatewayOperator.watched).map {
        type in
        var configuration = WatchConfiguration(type)
        configuration.isOptional = true
        configuration.mayBeForbidden = true
        configuration.keeps = NodeNetworkPlanner.keeps[type] ?? []
        // The cluster's DNS and nothing else.
        if type == .configMaps { configuration.namespace = ClusterDNSPlanner.namespace }
        if GatewayWorkloads.watched.contains(type) { configuration.namespace = namespace }
        return configuration
      }
  }

  /// Watched where the newer version of the MCS types is not served.
  static var oldWatches: [WatchConfiguration] {
    configurations(
      [ResourceType.serviceExports, .serviceImports].map { $0.version(MCS.versions[1]) })
  }

  private static func configurations(_ types: [ResourceType]) -> [WatchConfiguration] {
    types.map {
      var configuration = WatchConfiguration($0)
      // Defined by CRDs, which may be installed later or never.
      configuration.isOptional = [MCS.group, ResourceType.slices.group].contains($0.group)
      return configuration
    }
  }
}
