/// The gateway of a cluster as the peer sees it: inside the daemon, or a process of its own.
protocol GatewayRunner: Sendable {
  /// Makes it serve this plan. Gives by slice why it cannot be served, as far as is known.
  func apply(_ plan: GatewayPlan) -> [String: String]
  /// `nil` while nothing is known of it.
  var latestStatus: GatewayStatus? { get }
  /// Why there are no tunnels, as a sentence.
  var problem: String? { get }
  /// Called several times a second.
  func look()
  func stop()
}

extension Gateway: GatewayRunner {
  var latestStatus: GatewayStatus? { status() }
  var problem: String? { nil }
}
