/// What this cluster knows about reaching the others; decides which endpoints it uses.
public struct Reachability: Hashable, Sendable {
  /// The own cluster: always reachable.
  public var local: String
  /// Other clusters whose endpoints can be reached: by tunnel probes where there is a tunnel, by
  /// membership where there is none.
  public var reachable: Set<String>
  /// Clusters that are to get no new flows.
  public var drained: Set<String>
  /// Measured over the tunnel, by cluster.
  public var rttMicroseconds: [String: Int]
  /// Clusters that membership holds for dead or cannot hear: shown, and withdraws nothing alone.
  public var stale: Set<String>

  public init(
    local: String, reachable: Set<String> = [], drained: Set<String> = [],
    rttMicroseconds: [String: Int] = [:], stale: Set<String> = []
  ) {
    self.local = local
    self.reachable = reachable
    self.drained = drained
    self.rttMicroseconds = rttMicroseconds
    self.stale = stale
  }

  /// Without what makes no difference to a selection: measured times go on changing for ever, their
  /// order does not.
  public func whatCounts(for policy: SliceDNS.Policy) -> Reachability {
    var out = self
    out.stale = []
    out.rttMicroseconds = [:]
    if policy == .nearest {
      let order = rttMicroseconds.sorted { ($0.value, $0.key) < ($1.value, $1.key) }
      for (rank, entry) in order.enumerated() { out.rttMicroseconds[entry.key] = rank }
    }
    return out
  }

  public func canReach(_ cluster: String) -> Bool {
    cluster == local || reachable.contains(cluster)
  }
}

/// Which clusters' endpoints serve a name now, and why.
public struct EndpointSelection: Hashable, Sendable {
  /// Ascending.
  public var clusters: [String]
  /// No exporter can be reached and the slice keeps the last endpoints.
  public var keptLast: Bool

  public init(
    _ service: ServiceImport, dns: SliceDNS, reachability: Reachability
  ) {
    let local = reachability.local
    let serving = service.exports.filter { $0.endpoints.contains(where: \.ready) }
      .map(\.cluster).sorted()
    let reachable = serving.filter { reachability.canReach($0) }
    keptLast = reachable.isEmpty && !serving.isEmpty && dns.keepLast
    let candidates = (keptLast ? serving : reachable).filter {
      !reachability.drained.contains($0)
    }
    let others = candidates.filter { $0 != local }
    let own = candidates.contains(local) ? [local] : []
    // A headless name lists who is there (KEP-1645), so only an affinity of its own narrows it.
    let policy = service.type == .headless && service.affinity == nil ? .all : dns.policy
    switch (service.affinity, policy) {
    case (.remote?, .nearest):
      clusters = others.isEmpty ? own : Self.nearest(others, reachability)
    case (.remote?, _):
      clusters = others.isEmpty ? own : others
    case (EndpointAffinity.none?, _), (nil, .all):
      clusters = candidates
    case (.local?, .nearest), (nil, .nearest):
      clusters = own.isEmpty ? Self.nearest(others, reachability) : own
    case (.local?, _), (nil, .local):
      clusters = own.isEmpty ? others : own
    }
  }

  private static func nearest(_ clusters: [String], _ reachability: Reachability) -> [String] {
    let ranked = clusters.map { (reachability.rttMicroseconds[$0] ?? .max, $0) }
    return ranked.min { $0 < $1 }.map { [$0.1] } ?? []
  }
}
