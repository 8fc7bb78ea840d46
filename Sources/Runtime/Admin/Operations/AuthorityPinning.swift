internal import Base
internal import FoundationEssentials
internal import Replication
internal import Slices

extension AdminSession {
  /// Writes the clusters' CA certificates beside the context. The peer's word does not suffice: all that
  /// leads to them, from the genesis down, is fetched and judged here.
  ///
  /// - Returns: the clusters.
  public func pinAuthorities(_ client: PeerClient) async throws -> [String] {
    let genesis = try await genesis(client)
    let state = try await verifiedState(genesis, client)
    var clusters: [String] = []
    var pem = ""
    for path in state.paths(prefix: "cluster/") {
      guard case .clusterInfo(let cluster) = SlicePath(path), let value = state.value(path),
        let info = try? ClusterInfo(value), !info.certificateAuthority.isEmpty
      else { continue }
      clusters.append(cluster)
      let authorities = [info.certificateAuthority] + info.peers.map(\.certificateAuthority)
      for authority in Set(authorities).sorted(by: { $0.lexicographicallyPrecedes($1) })
      where !authority.isEmpty {
        pem += "# \(cluster)\n" + Self.pem(authority)
      }
    }
    guard !clusters.isEmpty else {
      throw AdminError(.failed, "no cluster has published its CA yet")
    }
    let path = "\(context.folder)/clusters.pem"
    try TextFile.makeDirectory(context.folder)
    try TextFile.write(Array(pem.utf8), to: path, replacing: true)
    var context = context
    context.ca = path
    try context.save()
    return clusters
  }

  /// The grants, their ends and the clusters' records, ingested as a peer would.
  private func verifiedState(
    _ genesis: Genesis, _ client: PeerClient
  ) async throws -> ReplicatedState {
    let trust = try await client.get("/v1/grants", as: APIGrants.self)
    let registers = try await client.get(
      "/v1/registers?scope=clusterset&prefix=cluster/", as: APIRegisters.self)
    var ids = Set(trust.grants.map(\.id)).union(trust.floors.map(\.changeset))
    for register in registers.registers { ids.formUnion(register.values.map(\.changeset)) }
    ids.remove(genesis.id)
    var changesets: [Changeset] = []
    for id in ids.sorted() { changesets.append(try await client.changeset(id).0) }
    changesets.sort { ($0.time, $0.id) < ($1.time, $1.id) }
    var state = ReplicatedState(genesis: genesis, crypto: .sodium)
    var changes = StateChanges()
    let now = Now(instant: .zero, wallMilliseconds: self.now.milliseconds)
    for changeset in changesets { _ = state.ingest(changeset, now: now, changes: &changes) }
    return state
  }

  private static func pem(_ der: [UInt8]) -> String {
    var rest = Substring(Data(der).base64EncodedString())
    var out = "-----BEGIN CERTIFICATE-----\n"
    while !rest.isEmpty {
      out += rest.prefix(64) + "\n"
      rest = rest.dropFirst(64)
    }
    return out + "-----END CERTIFICATE-----\n"
  }
}
