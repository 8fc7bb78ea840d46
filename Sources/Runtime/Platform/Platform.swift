internal import Slices

/// Where a cluster's services live, and what makes them as the converged state says.
protocol Platform: Sendable {
  /// What was planned last.
  var latest: PlatformPlan? { get }
  /// By slice, the clusters that can be reached; `nil`: membership decides.
  var reachableClusters: [String: Set<String>]? { get }
  var gatewayStatus: GatewayStatus? { get }
  /// Why there is no tunnel.
  var gatewayProblem: String? { get }

  func stop() async
}
