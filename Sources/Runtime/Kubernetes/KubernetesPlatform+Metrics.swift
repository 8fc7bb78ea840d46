internal import Nodes
internal import Synchronization

extension KubernetesPlatform {
  func collectMetrics() {
    registry.collect { [weak self] registry in
      guard let self else { return }
      for (outcome, count) in self.dns.counters.byOutcome.sorted(by: { $0.key < $1.key }) {
        registry.counter(
          "starling_dns_answers_total", help: "DNS messages by what became of them.",
          labels: ["outcome": outcome]
        ).raise(to: count)
      }
      for (method, count) in self.transport.sent.counts.sorted(by: { $0.key < $1.key }) {
        registry.counter(
          "starling_kubernetes_requests_total", help: "Requests to the API server, by method.",
          labels: ["method": method]
        ).raise(to: count)
      }
      let nodes = self.state.withLock { $0.nodes }
      for reason in NodeStatus.Reason.allCases.map(Optional.init) + [nil] {
        registry.gauge(
          "starling_node_agents", help: "Nodes by what their agents say.",
          labels: ["state": reason?.rawValue ?? "Unknown"]
        ).set(Double(nodes[reason] ?? 0))
      }
      for status in self.gatewayStatuses { TunnelMetrics.set(status, in: registry) }
    }
  }
}
