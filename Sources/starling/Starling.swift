import ArgumentParser
import Runtime

@main
struct Starling: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "starling",
    abstract:
      "Administers a Starling ClusterSet: slices of many clusters, with no management cluster.",
    discussion: """
      Changes are signed here and pushed to any one peer; every cluster converges on them.

      Exit codes: 0 done; 1 refused or failed; 2 the input is not valid, nothing was sent; \
      3 no peer answers; 4 not everyone confirmed in time; 5 the state moved meanwhile; \
      64 the command line is not valid.

      Shell completion: starling --generate-completion-script bash|zsh|fish
      """,
    version: StarlingVersion.current,
    subcommands: [
      Init.self, Key.self, GrantCommand.self, Revoke.self, Token.self, Join.self,
      PlanCommand.self, Apply.self, Diff.self, Get.self, Describe.self, Edit.self, Delete.self,
      Sign.self, Cosign.self, Push.self, SliceCommand.self,
      Status.self, Members.self, Conflicts.self, Explain.self, Log.self,
      Backup.self, Restore.self, Version.self,
    ])

  static func main() async {
    do {
      var command = try parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch let error as AdminError {
      Terminal.error("starling: \(error)")
      Starling.exit(withError: ExitCode(error.code.rawValue))
    } catch {
      Starling.exit(withError: error)
    }
  }
}
