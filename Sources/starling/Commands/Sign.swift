import ArgumentParser
import Base
import Replication
import Runtime
import Slices
import Wire

struct Sign: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes the signed changeset of `apply` as a file and sends nothing.",
    discussion: """
      Example: starling sign -f blue.yaml --out blue-change.yaml

      The file is `kind: SignedChangeset`; any peer takes it (starling push), and so does GitOps. \
      The signature carries the authority.
      """)

  @OptionGroup var manifest: ManifestOptions
  @Option(help: "File to write, - for standard output.")
  var out: String
  @Option(help: "Why; shown by `starling log`.")
  var message = ""
  @OptionGroup var peer: PeerOptions

  func run() async throws {
    try await peer.withClient { client in
      let session = try await AdminSession(peer: peer, client: client)
      let plans = try manifest.plans(over: session.state).filter { !$0.isEmpty }
      guard let plan = plans.first else {
        throw AdminError(.failed, "nothing to change, so nothing to sign")
      }
      let batches = plans.flatMap { $0.batches() }
      guard plans.count == 1, batches.count == 1 else {
        throw AdminError(
          .invalid, "this takes \(batches.count) changesets", fix: "Sign one slice at a time.")
      }
      let builder = session.builder(under: try session.grant(slice: plan.slice))
      let changeset = builder.changeset(
        setting: batches[0], over: session.state, message: message)
      try SignedFile(changeset).write(to: out)
      if out != "-" { print(changeset.id.hex) }
    }
  }
}

struct Cosign: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Adds a signature to a signed changeset, for roots of several keys.",
    discussion: "Example: starling cosign change.yaml --key second-root.key")

  @Argument(help: "The file; it is rewritten.") var file: String
  @OptionGroup var peer: PeerOptions

  func run() throws {
    var signed = try SignedFile(reading: file)
    let key = try peer.context().unlockKey()
    guard !signed.changeset.endorsements.contains(where: { $0.key == key.publicKey }) else {
      throw AdminError(.conflict, "\(key.publicKey.short) has signed it already")
    }
    signed.changeset = signed.changeset.signed(by: key.signer)
    try signed.write(to: file)
    print("\(signed.changeset.id.hex): \(signed.changeset.endorsements.count) signatures")
  }
}

struct Push: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Hands a signed changeset to a peer.",
    discussion: "Example: starling push blue-change.yaml --wait")

  @Argument(help: "A file of kind SignedChangeset.") var file: String
  @Flag(help: "Wait until every cluster has it.") var wait = false
  @Option(help: "How long to wait, for example 30s.")
  var timeout = Lifetime(argument: "60s")
  @OptionGroup var peer: PeerOptions

  func run() async throws {
    let signed = try SignedFile(reading: file)
    try await peer.withClient { client in
      let result = try await AdminSession.push(signed.bytes, to: client)
      print("\(result.outcome.rawValue) \(signed.changeset.id.hex)")
      guard wait else { return }
      let waited = try await Waiting(client: client, timeout: timeout)
        .wait(for: signed.changeset.id)
      print(
        "\(waited.confirmed)/\(waited.total) clusters in "
          + "\(Int(waited.elapsedMilliseconds.rounded())) ms")
      if !waited.missing.isEmpty {
        throw AdminError(
          .timedOut, "not confirmed in time: \(waited.missing.joined(separator: ", "))")
      }
    }
  }
}
