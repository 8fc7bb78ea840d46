import ArgumentParser
import Runtime

/// Signs changes with an admin's key and hands them to any peer; asks peers what they see.
struct Starling: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "starling",
    abstract: "Connect Kubernetes clusters by slices, with no management cluster.",
    discussion: """
      A change is signed here, with your key, and handed to any one peer; the clusters converge on it \
      by themselves. Nothing else has to run.

      A first ClusterSet:
        starling init --name prod
        starling token create --cluster eu-1 > eu-1.token     # on this machine
        starling join @eu-1.token                             # beside starlingd in eu-1
        starling apply -f blue.yaml --wait

      Which peer, which key: --peer and --key, else STARLING_PEER and STARLING_KEY, else the context \
      file (--config, STARLING_CONFIG, ~/.config/starling/config.yaml; see `starling context`), else the \
      socket of a local starlingd.

      A passphrase comes from --passphrase-file, STARLING_PASSPHRASE_FILE, STARLING_PASSPHRASE or the \
      terminal. NO_COLOR turns colours off.

      Exit status:
      \(ExitStatus.allCases.map { "  \($0.rawValue)  \($0.summary)" }.joined(separator: "\n"))
      """,
    version: StarlingVersion.current,
    groupedSubcommands: [
      CommandGroup(
        name: "Trust",
        subcommands: [
          Init.self, Key.self, GrantCommand.self, Revoke.self, Token.self, Join.self,
        ]),
      CommandGroup(
        name: "Change",
        subcommands: [
          Plan.self, Apply.self, Diff.self, Edit.self, Delete.self, Slice.self, Drain.self,
          Undrain.self, Import.self, Sign.self,
          Cosign.self, Push.self,
        ]),
      CommandGroup(
        name: "Look",
        subcommands: [
          Get.self, Describe.self, Status.self, Members.self, Conflicts.self, Explain.self,
          Log.self,
        ]),
      CommandGroup(
        name: "Run",
        subcommands: [
          Backup.self, Restore.self, ContextCommand.self, Completion.self, Version.self,
        ]),
    ])
}
