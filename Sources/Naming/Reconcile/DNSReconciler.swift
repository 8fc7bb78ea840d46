public import Base
public import Slices

/// Keeps the table that names are answered from what the view says, at the cost of what changed.
public struct DNSReconciler: Sendable {
  public struct Input: Sendable {
    public var cluster: String
    /// Zones of slice names, from the genesis.
    public var zones: [String]
    /// By slice; where there is none only the own cluster can be reached.
    public var sources: [String: NameSources]
    /// Services whose addresses in the sources are not what they were.
    public var changed: Set<ServiceName>
    public var clients: ClientViews
    /// Where this server is reached.
    public var servers: [IPAddress]

    public init(
      cluster: String, zones: [String] = [NamingTable.slicesZone],
      sources: [String: NameSources], changed: Set<ServiceName> = [],
      clients: ClientViews = ClientViews(), servers: [IPAddress] = []
    ) {
      self.cluster = cluster
      self.zones = zones
      self.sources = sources
      self.changed = changed
      self.clients = clients
      self.servers = servers
    }
  }

  private struct Made: Sendable {
    var reachability: Reachability
    var names: SliceNames
  }

  private var made: [String: Made] = [:]
  private var serial: UInt32 = 0

  public init() {}

  /// The table to answer from now. Call it on every change of the view, of what can be reached or of
  /// the local workloads; queries go on with the old table until they get this one.
  ///
  /// - Parameter change: of the view since the last call; `nil`: all may have.
  public mutating func table(
    _ view: ClustersetView, _ change: ViewChange?, _ input: Input
  ) -> NamingTable {
    let slices = view.slices(of: input.cluster).filter { $0.isActive(input.cluster) }
    var next: [String: Made] = [:]
    for slice in slices {
      var sources =
        input.sources[slice.name]
        ?? NameSources(reachability: Reachability(local: input.cluster))
      sources.reachability = sources.reachability.whatCounts(for: slice.dns.policy)
      let changed = (change?.services[slice.name] ?? []).union(input.changed)
      var kept: SliceNames?
      if let old = made[slice.name], let change, !change.slices.contains(slice.name),
        old.reachability == sources.reachability
      {
        kept = old.names
      }
      let names =
        kept.flatMap { changed.isEmpty ? $0 : nil }
        ?? SliceNames(slice, sources, keeping: kept, but: changed)
      next[slice.name] = Made(reachability: sources.reachability, names: names)
    }
    made = next
    serial &+= 1
    return NamingTable(
      zones: input.zones, slices: slices.compactMap { next[$0.name]?.names },
      clients: input.clients, servers: input.servers, serial: serial)
  }
}
