internal import Slices

/// Where a cluster's services live, and what makes them as the converged state says.
protocol Platform: Sendable {
  /// What was planned last.
  var latest: PlatformPlan? { get }
  /// By slice, the clusters that can be reached; `nil`: membership decides.
  var reachableClusters: [String: Set<String>]? { get }
  /// One for each gateway of the cluster that says how it is, ascending by replica.
  var gatewayStatuses: [GatewayStatus] { get }
  /// Why there is no tunnel.
  var gatewayProblem: String? { get }
  /// Why some of several gateways carry nothing.
  var lostGateways: [String] { get }

  func stop() async
}

extension Platform {
  var gatewayStatuses: [GatewayStatus] { [] }
  var lostGateways: [String] { [] }
}
