import ArgumentParser
import Base
import Foundation
import Replication
import Runtime
import Slices
import Wire

/// The manifests of a command and the plan that they make.
struct ManifestOptions: ParsableArguments {
  @Option(name: [.short, .long], help: "Manifest file, - for standard input; repeat for more.")
  var file: [String]

  func plans(over state: RemoteState) throws -> [SlicePlan] {
    try file.flatMap { try ManifestFile.read($0) }.map { try $0.plan(over: state) }
  }
}

struct PlanCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan", abstract: "Shows what `apply` would change; sends nothing.",
    discussion: "Example: starling plan -f blue.yaml")

  @OptionGroup var manifest: ManifestOptions
  @OptionGroup var peer: PeerOptions

  func run() async throws {
    try await peer.withClient { client in
      let state = try await RemoteState.read(from: client)
      for plan in try manifest.plans(over: state) {
        plan.lines.forEach { print($0) }
        print("\(plan.slice): \(plan.isEmpty ? "no change" : plan.summary)")
      }
    }
  }
}

struct Diff: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows how manifests differ from what is in force; exit code 1 where they do.",
    discussion: "Example: starling diff -f blue.yaml")

  @OptionGroup var manifest: ManifestOptions
  @OptionGroup var peer: PeerOptions

  func run() async throws {
    let differs = try await peer.withClient { client in
      let state = try await RemoteState.read(from: client)
      let plans = try manifest.plans(over: state)
      plans.flatMap(\.lines).forEach { print($0) }
      return plans.contains { !$0.isEmpty }
    }
    if differs { throw ExitCode(1) }
  }
}

/// How changes are confirmed and waited for.
struct ApplyOptions: ParsableArguments {
  @Flag(help: "Wait until every cluster has it durably stored and visible.")
  var wait = false

  @Option(help: "How long to wait, for example 30s.")
  var timeout = Lifetime(argument: "60s")

  @Flag(help: "Do not ask.")
  var yes = false

  @Option(help: "Why; shown by `starling log`.")
  var message = ""
}

struct Apply: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes the state what manifests say: one signed changeset, pushed to one peer.",
    discussion: "Example: starling apply -f blue.yaml --wait")

  @OptionGroup var manifest: ManifestOptions
  @OptionGroup var apply: ApplyOptions

  @Option(
    name: .customLong("if-unchanged"),
    help: "Fail unless the newest change of the slice still has this ID (64 hexadecimal digits).")
  var ifUnchanged: String?

  @OptionGroup var output: OutputOptions
  @OptionGroup var peer: PeerOptions

  func run() async throws {
    try await peer.withClient { client in
      let state = try await RemoteState.read(from: client)
      let plans = try manifest.plans(over: state)
      if let ifUnchanged {
        for plan in plans { try checkBase(of: plan.slice, is: ifUnchanged, in: state) }
      }
      try await SliceChange(
        plans: plans, state: state, options: apply, output: output, peer: peer, client: client
      ).carryOut()
    }
  }

  private func checkBase(of slice: String, is base: String, in state: RemoteState) throws {
    let paths =
      [SlicePath.slice(slice).text]
      + state.paths(withPrefix: "slice/\(slice)/", in: .clusterset)
    let newest = paths.compactMap { state.register($0, in: .clusterset) }
      .max { $0.isOlder(than: $1) }
    guard let newest, newest.changeset.hex == base else {
      throw AdminError(
        .conflict,
        "slice \(slice) has moved: its newest change is \(newest?.changeset.hex ?? "none")",
        fix: "Look at it (starling get slices -o wide), then apply again.")
    }
  }
}

/// Shows plans, signs them and pushes them.
struct SliceChange {
  let plans: [SlicePlan]
  let state: RemoteState
  let options: ApplyOptions
  let output: OutputOptions
  let peer: PeerOptions
  let client: PeerClient

  func carryOut() async throws {
    let isQuiet = output.output == .json || output.output == .yaml
    func say(_ text: String) { isQuiet ? Terminal.error(text) : print(text) }
    for plan in plans { plan.lines.forEach(say) }
    let changed = plans.filter { !$0.isEmpty }
    guard !changed.isEmpty else {
      if isQuiet { try output.print(AppliedResult.unchanged) { _ in "" } }
      return say("nothing to change")
    }
    let names = changed.map(\.slice).joined(separator: ", ")
    guard options.yes || Terminal.confirm("Sign and push this change of \(names)?") else {
      throw AdminError(.failed, "nothing was sent", fix: "Say yes, or --yes in scripts.")
    }
    for changeset in try await sign(changed) {
      try await AdminSession.push(ChangesetCodec.encode(changeset), to: client)
      if options.wait {
        let result = try await Waiting(client: client, timeout: options.timeout)
          .wait(for: changeset.id)
        if isQuiet {
          try output.print(result) { _ in "" }
        } else {
          say(
            "\(result.confirmed)/\(result.total) clusters in "
              + "\(Int(result.elapsedMilliseconds.rounded())) ms")
        }
        guard result.missing.isEmpty else {
          throw AdminError(
            .timedOut, "not confirmed in time: \(result.missing.joined(separator: ", "))",
            fix: "The change is on its way; look again with starling status.")
        }
      } else if isQuiet {
        try output.print(AppliedResult(id: changeset.id)) { _ in "" }
      } else {
        say("pushed \(changeset.id.hex)")
      }
    }
  }

  func sign(_ plans: [SlicePlan]) async throws -> [Changeset] {
    let session = try await AdminSession(peer: peer, client: client)
    return try plans.flatMap { plan in
      let builder = session.builder(under: try session.grant(slice: plan.slice))
      return plan.batches().map {
        builder.changeset(setting: $0, over: state, message: options.message)
      }
    }
  }
}

/// What `apply -o json` prints.
struct AppliedResult: Codable {
  var id: String?
  var confirmed = 0
  var total = 0
  var elapsedMilliseconds = 0.0
  var missing: [String] = []

  static let unchanged = AppliedResult(id: nil as Digest?)

  init(id: Digest?) {
    self.id = id?.hex
  }
}

/// Follows a changeset until every cluster has it.
struct Waiting {
  let client: PeerClient
  let timeout: Lifetime?

  func wait(for id: Digest) async throws -> AppliedResult {
    let bar = ProgressBar()
    var result = AppliedResult(id: id)
    let limit = String(timeout?.milliseconds ?? 60_000)
    try await client.events(
      "/v1/changesets/\(id.hex)/progress", [("timeoutMilliseconds", limit)]
    ) { event, data in
      let decoder = JSONDecoder()
      switch event {
      case "expected":
        let expected = try decoder.decode(APIProgressExpected.self, from: Data(data))
        result.total = expected.clusters.count
        bar.show(0, of: result.total, "clusters")
      case "confirmed":
        let confirmed = try decoder.decode(APIProgressConfirmed.self, from: Data(data))
        bar.show(confirmed.confirmed, of: confirmed.total, "clusters")
      case "done":
        let done = try decoder.decode(APIProgressDone.self, from: Data(data))
        result.confirmed = done.confirmed
        result.total = done.total
        result.elapsedMilliseconds = done.elapsedMilliseconds
        result.missing = done.missing
        return false
      default: break
      }
      return true
    }
    bar.clear()
    return result
  }
}
