import ArgumentParser
import Foundation
import Runtime
import Slices

struct Edit: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Edits a slice in $EDITOR and applies what was changed.",
    discussion: "Example: EDITOR=vi starling edit slice blue --wait")

  @Argument(help: "slice.") var kind: Describe.Kind
  @Argument(help: "Its name.") var name: String
  @OptionGroup var apply: ApplyOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var peer: PeerOptions

  func run() async throws {
    try await peer.withClient { client in
      let state = try await RemoteState.read(from: client)
      let manifest = try currentManifest(of: name, in: state)
      let path = FileManager.default.temporaryDirectory
        .appending(path: "starling-\(name)-\(ProcessInfo.processInfo.processIdentifier).yaml")
      try Data(manifest.document().yaml.utf8).write(to: path)
      let editor = ProcessInfo.processInfo.environment["EDITOR"] ?? "vi"
      let process = Process()
      process.executableURL = URL(filePath: "/bin/sh")
      process.arguments = ["-c", "exec \(editor) \"$1\"", "edit", path.path]
      try process.run()
      process.waitUntilExit()
      guard process.terminationStatus == 0 else {
        throw AdminError(.failed, "\(editor) failed; nothing was sent", fix: "Set EDITOR.")
      }
      // An edit that cannot be applied is not thrown away.
      let plans = try ManifestFile.read(path.path).map { try $0.plan(over: state) }
      try await SliceChange(
        plans: plans, state: state, options: apply, output: output, peer: peer, client: client
      ).carryOut()
      try? FileManager.default.removeItem(at: path)
    }
  }
}
