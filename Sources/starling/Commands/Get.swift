import ArgumentParser
import Base
import Replication
import Runtime
import Slices

struct Get: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Lists objects as the peer sees them.",
    discussion: "Example: starling get slices -o wide")

  enum Kind: String, ExpressibleByArgument, CaseIterable {
    case slices, clusters, members, services, tunnels, grants, registers
  }

  @Argument(help: "slices, clusters, members, services, tunnels, grants or registers.")
  var kind: Kind

  @Argument(help: "One name, or for registers a path prefix.")
  var name: String?

  @OptionGroup var output: OutputOptions
  @OptionGroup var peer: PeerOptions

  func run() async throws {
    try await peer.withClient { client in
      switch kind {
      case .slices:
        let all: [APISlice] = try await client.get("/v1/slices")
        let shown = all.filter { name == nil || $0.name == name }
        if let name, shown.isEmpty {
          throw AdminError(.failed, "there is no slice \(name)", fix: "See: starling get slices")
        }
        try output.print(shown) { Tables.slices(shown, wide: $0) }
      case .clusters, .members:
        let all: [APIMember] = try await client.get("/v1/members")
        let shown = all.filter { name == nil || $0.cluster == name }
        try output.print(shown) { Tables.members(shown, wide: $0) }
      case .services:
        let all: [APIService] = try await client.get("/v1/services")
        let shown = all.filter { name == nil || $0.name == name }
        try output.print(shown) { Tables.services(shown, wide: $0) }
      case .tunnels:
        let shown: [APITunnel] = try await client.get("/v1/tunnels")
        try output.print(shown) { Tables.tunnels(shown, wide: $0) }
      case .grants:
        let shown: APIGrants = try await client.get("/v1/grants")
        try output.print(shown) { Tables.grants(shown, wide: $0) }
      case .registers:
        let shown: APIRegisters = try await client.get(
          "/v1/registers", name.map { [("prefix", $0)] } ?? [])
        try output.print(shown) { Tables.registers(shown, wide: $0) }
      }
    }
  }
}

struct Members: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Lists the peers of the ClusterSet, their state and how far away they are.",
    discussion: "Example: starling members -o wide")

  @OptionGroup var output: OutputOptions
  @OptionGroup var peer: PeerOptions

  func run() async throws {
    try await peer.withClient { client in
      let members: [APIMember] = try await client.get("/v1/members")
      try output.print(members) { Tables.members(members, wide: $0) }
    }
  }
}

struct Describe: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows everything about one slice.",
    discussion: "Example: starling describe slice blue")

  enum Kind: String, ExpressibleByArgument, CaseIterable { case slice }

  @Argument(help: "slice.") var kind: Kind
  @Argument(help: "Its name.") var name: String
  @OptionGroup var output: OutputOptions
  @OptionGroup var peer: PeerOptions

  func run() async throws {
    try await peer.withClient { client in
      let slice: APISlice = try await client.get("/v1/slices/\(name)")
      try output.print(slice) { _ in Tables.description(of: slice) }
    }
  }
}

struct Delete: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Deletes a slice.", discussion: "Example: starling delete slice blue")

  @Argument(help: "slice.") var kind: Describe.Kind
  @Argument(help: "Its name.") var name: String
  @Flag(help: "Even while namespaces take part or services are exported.") var force = false
  @OptionGroup var apply: ApplyOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var peer: PeerOptions

  func run() async throws {
    try await peer.withClient { client in
      let state = try await RemoteState.read(from: client)
      let plan: SlicePlan
      do throws(ManifestError) {
        plan = try SlicePlan(deleting: name, from: state, force: force)
      } catch {
        throw AdminError(.failed, error.description, fix: "Or say --force.")
      }
      try await SliceChange(
        plans: [plan], state: state, options: apply, output: output, peer: peer, client: client
      ).carryOut()
    }
  }
}
