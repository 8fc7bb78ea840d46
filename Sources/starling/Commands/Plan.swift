import ArgumentParser
import Runtime

struct Plan: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what `apply` would write; signs and sends nothing.",
    discussion: """
      Example:
        starling plan -f blue.yaml
      """)

  @OptionGroup var manifests: ManifestOption
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let files = try manifests.read()
    let session = try common.session()
    try await session.withPeer { client in
      let state = try await session.signingState(client)
      let plan = try ChangePlan(applying: files, to: state.snapshot)
      try session.print(PlanReport(plan), output.output) { plan.text(style: session.output) }
    }
  }
}
