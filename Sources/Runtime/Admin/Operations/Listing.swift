internal import Base
internal import Replication
internal import Slices

/// `get` and `describe`: asks the peer, prints.
public struct Listing: Sendable {
  public enum Kind: String, CaseIterable, Hashable, Sendable {
    case slices, clusters, members, services, tunnels, grants, registers, conflicts

    /// `slice` and `slices` alike.
    public init?(loosely text: String) {
      let text = text.lowercased()
      guard let kind = Kind(rawValue: text) ?? Kind(rawValue: text + "s") else { return nil }
      self = kind
    }
  }

  let session: AdminSession
  let client: PeerClient
  let format: OutputFormat

  public init(session: AdminSession, client: PeerClient, format: OutputFormat) {
    self.session = session
    self.client = client
    self.format = format
  }

  private var now: APITime { session.now }

  public func run(_ kind: Kind, name: String?, prefix: String) async throws {
    switch kind {
    case .slices: try await slices(name)
    case .clusters:
      let rows = try filter(try await clusters(), name, kind) { $0.name }
      try session.print(rows, format, table: { ClusterRow.table(rows) })
    case .members:
      let all = try await client.get("/v1/members", as: [APIMember].self)
      let members = try filter(all, name, kind) { $0.cluster }
      try session.print(members, format, table: { Tables.members(members, now: now) })
    case .services:
      let services = try filter(try await services(), name, kind) { "\($0.namespace)/\($0.name)" }
      try session.print(services, format, table: { Tables.services(services) })
    case .tunnels:
      let tunnels = try filter(try await tunnels(), name, kind) { "\($0.slice)/\($0.cluster)" }
      try session.print(tunnels, format, table: { Tables.tunnels(tunnels) })
    case .grants:
      let answer = try await client.get("/v1/grants", as: APIGrants.self)
      let grants = try name.map { try GrantLookup.find($0, in: answer.grants) } ?? answer.grants
      try session.print(grants, format, table: { Tables.grants(grants, now: now) })
    case .registers: try await registers(name ?? prefix)
    case .conflicts:
      let conflicts = try await client.get("/v1/conflicts", as: [APIConflict].self)
      try session.print(conflicts, format, table: { Tables.conflicts(conflicts) })
    }
  }

  private func filter<T>(
    _ all: [T], _ name: String?, _ kind: Kind, by key: (T) -> String
  ) throws(AdminError) -> [T] {
    guard let name else { return all }
    let found = all.filter { key($0) == name || key($0).hasSuffix("/" + name) }
    guard found.isEmpty else { return found }
    let nearest = NameRules.nearest(to: name, among: all.map(key))
    throw AdminError(
      .failed,
      "\(kind.rawValue): there is no \"\(name)\"" + (nearest.map { "; did you mean \($0)?" } ?? ""))
  }

  private func slices(_ name: String?) async throws {
    guard let name, format.isStructured else {
      let all = try await client.get("/v1/slices", as: [APISlice].self)
      let slices = try filter(all, name, .slices) { $0.name }
      try session.print(slices, format, table: { Tables.slices(slices, now: now) })
      return
    }
    // One slice for a program is what can be applied again.
    let snapshot = RegisterSnapshot(
      try await client.get("/v1/registers", as: APIRegisters.self))
    let manifest = try SliceWork.manifest(name, snapshot)
    session.print(
      format == .yaml
        ? ManifestFile.text(manifest, base: snapshot.base(ofSlice: name).hex)
        : try format.text(manifest.document(withDefaults: false)))
  }

  private func registers(_ prefix: String) async throws {
    let target = "/v1/registers?prefix=\(PeerAddress.percentEncoded(prefix))"
    let answer = try await client.get(target, as: APIRegisters.self)
    try session.print(
      answer.registers, format, table: { Tables.registers(answer.registers, now: now) })
  }

  private func clusters() async throws -> [ClusterRow] {
    async let registers = client.get(
      "/v1/registers?scope=clusterset&prefix=cluster/", as: APIRegisters.self)
    async let members = client.get("/v1/members", as: [APIMember].self)
    async let slices = client.get("/v1/slices", as: [APISlice].self)
    return ClusterRow.rows(
      try await registers, members: try await members, slices: try await slices)
  }

  private func services() async throws -> [APIService] {
    try await client.get("/v1/services", as: [APIService].self)
  }

  private func tunnels() async throws -> [APITunnel] {
    try await client.get("/v1/tunnels", as: [APITunnel].self)
  }

  // MARK: - One in full

  public func describe(_ kind: Kind, _ name: String) async throws {
    let style = session.output
    switch kind {
    case .slices:
      guard NameRules.isLabel(name) else {
        throw AdminError.usage("\"\(name)\" is no slice's name")
      }
      let slice = try await client.get("/v1/slices/\(name)", as: APISlice.self)
      try session.print(slice, format) { Reports.slice(slice, style: style, now: now) }
    case .clusters, .members:
      let rows = try filter(try await clusters(), name, .clusters) { $0.name }
      try session.print(rows[0], format) { Reports.cluster(rows[0], style: style, now: now) }
    case .services:
      let found = try filter(try await services(), name, kind) { "\($0.namespace)/\($0.name)" }
      try session.print(found, format) {
        found.map { Reports.service($0, style: style) }.joined(separator: "\n")
      }
    case .tunnels:
      let found = try filter(try await tunnels(), name, kind) { "\($0.slice)/\($0.cluster)" }
      try session.print(found, format) {
        found.map { Reports.tunnel($0, style: style) }.joined(separator: "\n")
      }
    case .grants:
      let all = try await client.get("/v1/grants", as: APIGrants.self).grants
      for grant in try GrantLookup.find(name, in: all) {
        let detail = try await client.get("/v1/grants/\(grant.id.hex)", as: APIGrantDetail.self)
        try session.print(detail, format) { Reports.grant(detail, style: style, now: now) }
      }
    case .registers, .conflicts:
      throw AdminError.usage(
        "\(kind.rawValue) are not described", fix: "Use `starling get \(kind.rawValue) -o yaml`.")
    }
  }
}

/// What `explain` asks the peer.
public enum ExplainQuery {
  /// `slice/blue`, `tunnel/us-1`, `tunnel/blue/us-1`, or a DNS name.
  public static func target(_ subject: String) throws(AdminError) -> String {
    let parts = subject.split(separator: "/", omittingEmptySubsequences: false)
    guard !subject.isEmpty, parts.allSatisfy({ !$0.isEmpty }) else {
      throw .usage("\"\(subject)\" is neither a name, slice/NAME nor tunnel/CLUSTER")
    }
    let rest = parts.dropFirst().joined(separator: "/")
    switch (parts[0], parts.count) {
    case (_, 1):
      let name = subject.hasSuffix(".") ? String(subject.dropLast()) : subject
      return "/v1/explain?name=\(PeerAddress.percentEncoded(name))"
    case ("slice", 2): return "/v1/explain?slice=\(PeerAddress.percentEncoded(rest))"
    case ("name", 2): return "/v1/explain?name=\(PeerAddress.percentEncoded(rest))"
    case ("tunnel", 2), ("tunnel", 3):
      return "/v1/explain?tunnel=\(PeerAddress.percentEncoded(rest))"
    default:
      throw .usage(
        "\"\(subject)\" cannot be explained",
        fix: "Give a DNS name, slice/NAME, tunnel/CLUSTER or tunnel/SLICE/CLUSTER.")
    }
  }
}
