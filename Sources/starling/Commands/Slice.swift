import ArgumentParser
import Runtime
import Slices

struct Slice: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Let a cluster join a slice, or leave it.",
    subcommands: [JoinSlice.self, LeaveSlice.self])

  struct JoinSlice: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "join",
      abstract: "Make a cluster a member of a slice, or change its membership.",
      discussion: """
        What is not given stays as it is, or gets its default.

        Example:
          starling slice join blue us-1 --namespace shop --namespace pay --wait
        """)

    @Argument(help: "The slice.") var slice: String
    @Argument(help: "The cluster.") var cluster: String

    @Option(
      help: ArgumentHelp(
        "A namespace of it that takes part, or * for all; may be given several times.",
        valueName: "name"))
    var namespace: [String] = []

    @Option(help: ArgumentHelp("How its gateways are reached.", valueName: "type"))
    var gateway: GatewayArgument?

    @Option(help: ArgumentHelp("How many gateways.", valueName: "n"))
    var replicas: Int?

    @Option(help: ArgumentHelp("Index of its block; else one that is free.", valueName: "n"))
    var block: Int?

    @OptionGroup var change: ChangeOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
      let membership = SliceMembership(
        cluster: cluster, namespaces: namespace.isEmpty ? nil : namespace,
        gateway: gateway?.exposure, replicas: replicas, block: block)
      try await common.session().change(change.request()) { snapshot throws(AdminError) in
        try SliceWork.join(slice, membership, snapshot)
      }
    }
  }

  struct LeaveSlice: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "leave", abstract: "Take a cluster out of a slice; its exports go with it.",
      discussion: """
        Example:
          starling slice leave blue us-1 --wait
        """)

    @Argument(help: "The slice.") var slice: String
    @Argument(help: "The cluster.") var cluster: String
    @OptionGroup var change: ChangeOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
      try await common.session().change(change.request()) { snapshot throws(AdminError) in
        try SliceWork.leave(slice, cluster, snapshot)
      }
    }
  }
}

struct GatewayArgument: ExpressibleByArgument {
  var exposure: MemberGateway.Exposure

  init?(argument: String) {
    guard let exposure = MemberGateway.Exposure(rawValue: argument) else { return nil }
    self.exposure = exposure
  }

  static var allValueStrings: [String] { MemberGateway.Exposure.allCases.map(\.rawValue) }
}
