import ArgumentParser
import Runtime

struct Diff: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Compare manifests with the converged state, line by line.",
    discussion: """
      Ends with status 0 where nothing differs and \(ExitStatus.differs.rawValue) where something does.

      Example:
        starling diff -f blue.yaml
      """)

  @OptionGroup var manifests: ManifestOption
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let files = try manifests.read()
    let session = try common.session()
    let differs = try await session.withPeer { client in
      let state = try await session.signingState(client)
      let plan = try ChangePlan(applying: files, to: state.snapshot)
      let text = try SliceWork.diff(files, state.snapshot, style: session.output)
      try session.print(PlanReport(plan), output.output) { text }
      return !plan.isEmpty
    }
    if differs { throw ExitCode(ExitStatus.differs.rawValue) }
  }
}
