import ArgumentParser
import Runtime
import Slices

struct Apply: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make slices what manifests say: plan, sign, send.",
    discussion: """
      Reads the converged state from the peer, computes the smallest set of writes, shows it, signs one \
      changeset and hands it to that peer. Members and sections that a manifest leaves out go; slices \
      that are not named stay.

      Example:
        starling apply -f blue.yaml --wait

      Example, only if nobody changed it since it was read:
        starling get slice blue -o yaml > blue.yaml
        starling apply -f blue.yaml --if-unchanged
      """)

  @OptionGroup var manifests: ManifestOption

  @Option(
    help: ArgumentHelp(
      "With --if-unchanged: the base that `plan` showed, or its first digits. For one slice.",
      valueName: "base"))
  var base: String?

  @OptionGroup var change: ChangeOptions
  @OptionGroup var common: CommonOptions

  func validate() throws {
    guard base == nil || change.ifUnchanged else {
      throw ValidationError("--base is for --if-unchanged.")
    }
  }

  func run() async throws {
    let files = try manifests.read()
    guard base == nil || files.count == 1 else {
      throw ValidationError("--base is for one slice.")
    }
    var bases: [String: String] = [:]
    for file in files { bases[file.manifest.name] = base ?? file.base }
    try await common.session().change(change.request(bases: bases)) {
      snapshot throws(AdminError) in
      try ChangePlan(applying: files, to: snapshot)
    }
  }
}
