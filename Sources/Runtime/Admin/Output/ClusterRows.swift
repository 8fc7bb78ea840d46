internal import Base
internal import Replication
internal import Slices

/// One cluster as `get clusters` shows it: what was admitted, and what its peers are doing.
public struct ClusterRow: Codable, Hashable, Sendable {
  public var name: String
  /// The best state of its peers: `alive`, ..., or `notJoined`, or `removed`.
  public var state: String
  public var labels: [String: String]
  public var latitude: String?
  public var longitude: String?
  public var version: String?
  public var peers: [APIMember]
  public var slices: [String]

  public static func rows(
    _ registers: APIRegisters, members: [APIMember], slices: [APISlice]
  ) -> [ClusterRow] {
    let table = RegisterSnapshot(registers).table
    let admitted = table.paths(withPrefix: "cluster/", in: .clusterset).compactMap { path in
      if case .cluster(let name) = SlicePath(path) { name } else { String?.none }
    }
    return Set(admitted + members.map(\.cluster)).sorted().map { name in
      let peers = members.filter { $0.cluster == name }
      let admission = table.value(SlicePath.cluster(name).text).flatMap {
        try? ClusterAdmission($0)
      }
      let order: [APIMember.State] = [.alive, .degraded, .suspect, .dead, .left, .unknown]
      let best = order.first { state in peers.contains { $0.state == state } }
      return ClusterRow(
        name: name,
        state: !admitted.contains(name) ? "removed" : best?.rawValue ?? "notJoined",
        labels: admission?.labels ?? [:], latitude: admission?.location?.latitude,
        longitude: admission?.location?.longitude,
        version: peers.compactMap(\.version).first, peers: peers,
        slices: slices.filter { $0.members.contains { $0.cluster == name } }.map(\.name))
    }
  }

  public static func table(_ rows: [ClusterRow]) -> Table {
    var table = Table(
      [
        .init("NAME"), .init("STATE"), .init("PEERS", right: true), .init("SLICES"),
        .init("VERSION"), .init("LABELS"), .init("LOCATION", wide: true),
        .init("ADDRESSES", wide: true),
      ], ifEmpty: "No cluster is admitted.")
    table.rows = rows.map { row in
      [
        "\(row.name)",
        Table.Cell(
          row.state, APIMember.State(rawValue: row.state).map { Tables.tone($0) } ?? .faint),
        "\(row.peers.count)", Table.Cell(row.slices.joined(separator: ",")),
        Table.Cell(row.version),
        Table.Cell(
          row.labels.sorted { $0.key < $1.key }.map { "\($0)=\($1)" }
            .joined(separator: ",")),
        Table.Cell(row.latitude.flatMap { latitude in row.longitude.map { "\(latitude),\($0)" } }),
        Table.Cell(row.peers.flatMap(\.addresses).joined(separator: ",")),
      ]
    }
    return table
  }
}
