import ArgumentParser
import Runtime

/// One flag for every option of the configuration file, by the same name.
struct DaemonOptions: ParsableArguments {
  @Option(help: help("dataDir")) var dataDir: String?
  @Option(help: help("cluster")) var cluster: String?
  @Option(help: help("listen")) var listen: String?
  @Option(help: help("advertise")) var advertise: [String] = []
  @Option(help: help("seeds")) var seeds: [String] = []
  @Option(help: help("joinToken")) var joinToken: String?
  @Option(help: help("joinTokenFile")) var joinTokenFile: String?
  @Option(help: help("api.listen")) var apiListen: String?
  @Option(help: help("api.unixSocket")) var apiUnixSocket: String?
  @Option(help: help("api.maximumConnections")) var apiMaximumConnections: String?
  @Option(help: help("api.pushesPerMinute")) var apiPushesPerMinute: String?
  @Option(help: help("metrics.listen")) var metricsListen: String?
  @Option(help: help("log.level")) var logLevel: String?
  @Option(help: help("log.format")) var logFormat: String?
  @Option(help: help("platform")) var platform: String?
  @Option(help: help("standalone.services")) var standaloneServices: String?
  @Option(help: help("standalone.dns.listen")) var standaloneDnsListen: [String] = []
  @Option(help: help("standalone.interfacePrefix")) var standaloneInterfacePrefix: String?
  @Option(help: help("kubernetes.kubeconfig")) var kubernetesKubeconfig: String?
  @Option(help: help("kubernetes.context")) var kubernetesContext: String?
  @Option(help: help("kubernetes.namespace")) var kubernetesNamespace: String?
  @Option(help: help("kubernetes.identitySecret")) var kubernetesIdentitySecret: String?
  @Option(help: help("kubernetes.consent")) var kubernetesConsent: String?
  @Option(help: help("kubernetes.dns.listen")) var kubernetesDnsListen: [String] = []
  @Option(help: help("kubernetes.dns.adapter")) var kubernetesDnsAdapter: String?
  @Option(help: help("kubernetes.gateway.replicas")) var kubernetesGatewayReplicas: String?
  @Option(help: help("kubernetes.gateway.image")) var kubernetesGatewayImage: String?
  @Option(help: help("kubernetes.gateway.nodeImage")) var kubernetesGatewayNodeImage: String?
  @Option(help: help("gateway.listen")) var gatewayListen: String?
  @Option(help: help("gateway.advertise")) var gatewayAdvertise: [String] = []
  @Option(help: help("gateway.linkKbps")) var gatewayLinkKbps: String?
  @Option(help: help("gateway.planFile")) var gatewayPlanFile: [String] = []
  @Option(help: help("gateway.relayKbps")) var gatewayRelayKbps: String?
  @Option(help: help("gateway.workers")) var gatewayWorkers: String?
  @Option(help: help("ranges.pods")) var rangesPods: [String] = []
  @Option(help: help("ranges.services")) var rangesServices: [String] = []
  @Option(help: help("ranges.nodes")) var rangesNodes: [String] = []
  @Option(help: help("limits.gossipBytesPerSecond")) var limitsGossipBytesPerSecond: String?
  @Option(help: help("limits.gossipBurstBytes")) var limitsGossipBurstBytes: String?
  @Option(help: help("limits.storeBytes")) var limitsStoreBytes: String?
  @Option(help: help("clock.warnOffset")) var clockWarnOffset: String?

  /// Text of the flags that were given, by option name.
  var values: [String: String] {
    let pairs: KeyValuePairs<String, String?> = [
      "dataDir": dataDir, "cluster": cluster, "listen": listen, "advertise": joined(advertise),
      "seeds": joined(seeds), "joinToken": joinToken, "joinTokenFile": joinTokenFile,
      "api.listen": apiListen, "api.unixSocket": apiUnixSocket,
      "api.maximumConnections": apiMaximumConnections,
      "api.pushesPerMinute": apiPushesPerMinute, "metrics.listen": metricsListen,
      "log.level": logLevel, "log.format": logFormat, "platform": platform,
      "standalone.services": standaloneServices,
      "standalone.dns.listen": joined(standaloneDnsListen),
      "standalone.interfacePrefix": standaloneInterfacePrefix,
      "kubernetes.kubeconfig": kubernetesKubeconfig,
      "kubernetes.context": kubernetesContext, "kubernetes.namespace": kubernetesNamespace,
      "kubernetes.identitySecret": kubernetesIdentitySecret,
      "kubernetes.consent": kubernetesConsent, "kubernetes.dns.listen": joined(kubernetesDnsListen),
      "kubernetes.dns.adapter": kubernetesDnsAdapter,
      "kubernetes.gateway.replicas": kubernetesGatewayReplicas,
      "kubernetes.gateway.image": kubernetesGatewayImage,
      "kubernetes.gateway.nodeImage": kubernetesGatewayNodeImage,
      "gateway.listen": gatewayListen,
      "gateway.advertise": joined(gatewayAdvertise), "gateway.linkKbps": gatewayLinkKbps,
      "gateway.planFile": joined(gatewayPlanFile), "gateway.relayKbps": gatewayRelayKbps,
      "gateway.workers": gatewayWorkers,
      "ranges.pods": joined(rangesPods), "ranges.services": joined(rangesServices),
      "ranges.nodes": joined(rangesNodes),
      "limits.gossipBytesPerSecond": limitsGossipBytesPerSecond,
      "limits.gossipBurstBytes": limitsGossipBurstBytes, "limits.storeBytes": limitsStoreBytes,
      "clock.warnOffset": clockWarnOffset,
    ]
    assert(pairs.map(\.key) == ConfigurationOption.all.map(\.name), "an option has no flag")
    return Dictionary(
      pairs.compactMap { pair in pair.value.map { (pair.key, $0) } }, uniquingKeysWith: { $1 })
  }

  /// A list is separated by commas, given several times, or both.
  private func joined(_ texts: [String]) -> String? {
    texts.isEmpty ? nil : texts.joined(separator: ",")
  }

  private static func help(_ name: String) -> ArgumentHelp {
    guard let option = ConfigurationOption.named(name) else { return ArgumentHelp(name) }
    return ArgumentHelp(
      stringLiteral: option.summary + (option.standardText.map { " (default: \($0))" } ?? ""))
  }
}
