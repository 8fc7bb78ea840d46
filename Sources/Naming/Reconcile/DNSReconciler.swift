public import Base
public import Slices

/// Keeps the table that names are answered from what the view says. A slice's names are made anew
/// only when that slice or what can be reached changes.
public struct DNSReconciler: Sendable {
  public struct Input: Sendable {
    public var cluster: String
    /// Zones of slice names, from the genesis.
    public var zones: [String]
    public var reachability: Reachability
    /// By slice: the own addresses of imported services, where this cluster has such.
    public var serviceAddresses: [String: [ServiceName: [IPAddress]]]
    public var clients: ClientViews
    /// Where this server is reached.
    public var servers: [IPAddress]
    /// Who may speak for other clients (see `NamingTable.clientOption`).
    public var forwarders: [IPPrefix]

    public init(
      cluster: String, zones: [String] = [NamingTable.slicesZone], reachability: Reachability,
      serviceAddresses: [String: [ServiceName: [IPAddress]]] = [:],
      clients: ClientViews = ClientViews(), servers: [IPAddress] = [],
      forwarders: [IPPrefix] = []
    ) {
      self.cluster = cluster
      self.zones = zones
      self.reachability = reachability
      self.serviceAddresses = serviceAddresses
      self.clients = clients
      self.servers = servers
      self.forwarders = forwarders
    }
  }

  private struct Made: Sendable {
    var view: SliceView
    var reachability: Reachability
    var addresses: [ServiceName: [IPAddress]]
    var names: SliceNames
  }

  private var made: [String: Made] = [:]
  private var serial: UInt32 = 0

  public init() {}

  /// The table to answer from now. Call it on every change of the view, of what can be reached or of
  /// the local workloads; queries go on with the old table until they get this one.
  public mutating func table(_ view: ClustersetView, _ input: Input) -> NamingTable {
    let slices = view.slices(of: input.cluster).filter { $0.isActive(input.cluster) }
    var next: [String: Made] = [:]
    for slice in slices {
      let addresses = input.serviceAddresses[slice.name] ?? [:]
      let reachability = input.reachability.whatCounts(for: slice.dns.policy)
      if let old = made[slice.name], old.view == slice, old.reachability == reachability,
        old.addresses == addresses
      {
        next[slice.name] = old
      } else {
        let names = SliceNames(slice, reachability: reachability, serviceAddresses: addresses)
        next[slice.name] = Made(
          view: slice, reachability: reachability, addresses: addresses, names: names)
      }
    }
    made = next
    serial &+= 1
    return NamingTable(
      zones: input.zones, slices: slices.compactMap { next[$0.name]?.names },
      clients: input.clients, servers: input.servers, serial: serial, forwarders: input.forwarders)
  }
}
