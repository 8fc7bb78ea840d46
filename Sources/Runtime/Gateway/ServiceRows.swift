internal import Base
internal import Tunnel

/// Which row of the planes' figures belongs to which service and remote cluster.
struct ServiceRows {
  struct Key: Hashable {
    var slice: String
    var cluster: String
    var exporter: String
    var namespace: String
    var name: String
  }

  /// By row.
  private(set) var keys: [Key] = []
  private var services: [TunnelServiceConfig] = []
  private var links: [Int: LinkID] = [:]
  private var devices: [String: Int] = [:]

  /// The table for what is served now, and for each of its rows where that stood before (−1: nowhere);
  /// `nil` where nothing changed. Services beyond the bounds are not counted.
  mutating func update(
    _ services: [TunnelServiceConfig], links: [Int: LinkID], devices: [String: Int],
    cluster: String
  ) -> (table: ServiceTable, origin: [Int])? {
    guard services != self.services || links != self.links || devices != self.devices else {
      return nil
    }
    (self.services, self.links, self.devices) = (services, links, devices)
    var clusters: [String: [String]] = [:]
    for link in links.values { clusters[link.slice, default: []].append(link.cluster) }
    clusters = clusters.mapValues { Set($0).sorted() }
    var columns = [Int](repeating: -1, count: (links.keys.max() ?? -1) + 1)
    for (number, link) in links {
      columns[number] = clusters[link.slice]?.firstIndex(of: link.cluster) ?? -1
    }
    var keys: [Key] = []
    var entries: [ServiceTable.Entry] = []
    for service in services {
      guard let device = devices[service.slice] else { continue }
      let isLocal = service.cluster == cluster
      let remotes = isLocal ? clusters[service.slice] ?? [] : [service.cluster]
      guard keys.count + remotes.count <= TunnelLimits.serviceRows else { break }
      entries += service.addresses.map {
        ServiceTable.Entry(address: $0, device: device, row: keys.count, isLocal: isLocal)
      }
      keys += remotes.map {
        Key(
          slice: service.slice, cluster: $0, exporter: service.cluster,
          namespace: service.namespace, name: service.name)
      }
    }
    let old = Dictionary(
      zip(self.keys, self.keys.indices), uniquingKeysWith: { first, _ in first })
    let origin = keys.map { old[$0] ?? -1 }
    self.keys = keys
    return (ServiceTable(entries: entries, columns: columns, rows: keys.count), origin)
  }

  /// Those that had any traffic, in the order of the plan.
  func traffic(sent: [TrafficCount], received: [TrafficCount]) -> [ServiceTraffic] {
    keys.indices.compactMap { row in
      guard row < sent.count, row < received.count,
        sent[row].packets > 0 || received[row].packets > 0
      else { return nil }
      let key = keys[row]
      return ServiceTraffic(
        slice: key.slice, cluster: key.cluster, exporter: key.exporter, namespace: key.namespace,
        name: key.name, figures: TrafficFigures(sent: sent[row], received: received[row]))
    }
  }
}
