import ArgumentParser
import Runtime

struct Backup: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Copy a peer's store to a file, while it runs.",
    discussion: """
      It holds every signed changeset and no private key.

      Example:
        starling backup eu-1.backup
      """)

  @Argument(help: "The new file.", completion: .file())
  var file: String

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let session = try common.session()
    try await session.withPeer { client in
      let bytes = try await session.backup(to: file, client)
      session.note("\(bytes) bytes written to \(file)")
    }
  }
}

struct Restore: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Put a backup in the place of a store. The daemon must not run.",
    discussion: """
      The peer then takes a fresh boot epoch and learns from other peers what it wrote since, before it \
      writes again.

      Example:
        starling restore eu-1.backup --data-dir /var/lib/starling
      """)

  @Argument(help: "The backup.", completion: .file())
  var file: String

  @Option(
    help: ArgumentHelp("The daemon's data directory.", valueName: "folder"), completion: .directory)
  var dataDir: String

  @Flag(name: [.customShort("y"), .long], help: "Ask nothing.")
  var yes = false

  @OptionGroup var common: CommonOptions

  func run() throws {
    let session = try common.session()
    try session.confirm("Replace the store in \(dataDir)?", isConfirmed: yes, isOptional: true)
    try session.restore(from: file, to: dataDir)
    session.note("restored; start starlingd again")
  }
}

struct ContextCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "context", abstract: "Which peer, key and ClusterSet commands use by default.",
    subcommands: [Show.self, Set.self, Pin.self], defaultSubcommand: Show.self)

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print the context file.")

    @OptionGroup var common: CommonOptions

    func run() throws {
      let session = try common.session()
      session.note("# \(session.context.path)")
      session.print(session.context.yaml)
    }
  }

  struct Set: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Write --peer, --key and --ca into the context file.",
      discussion: """
        Example:
          starling context set --peer unix:///var/lib/starling/api.sock
        """)

    @OptionGroup var common: CommonOptions

    func run() throws {
      let session = try common.session()
      try session.saveContext()
      session.print(try AdminContext(reading: session.context.path).yaml)
    }
  }

  struct Pin: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Remember the clusters' CAs, so that peers can be reached by https://.",
      discussion: """
        Each cluster has a CA of its own, which stands in its signed record. They are read from a peer, \
        all signatures are verified here from the genesis down, and they are written beside the context \
        file. Where `starling init` left the genesis that needs no trust in who answers: the first \
        contact by https:// too. Without it a peer is needed that is trusted already (its Unix socket, or \
        https:// with --ca). Do it again when clusters were added.

        Example:
          starling context pin --peer unix:///var/lib/starling/api.sock
          starling context pin --peer https://eu-1.example.org:7443
        """)

    @OptionGroup var common: CommonOptions

    func run() async throws {
      let session = try common.session()
      try await session.withPeer(judgesAll: true) { client in
        let clusters = try await session.pinAuthorities(client)
        session.note("pinned the CAs of: \(clusters.joined(separator: ", "))")
      }
    }
  }
}

struct Completion: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print a completion script for your shell.",
    discussion: """
      Example:
        starling completion bash > /etc/bash_completion.d/starling
        starling completion zsh > "${fpath[1]}/_starling"
        starling completion fish > ~/.config/fish/completions/starling.fish
      """)

  enum Shell: String, ExpressibleByArgument, CaseIterable {
    case bash, zsh, fish
  }

  @Argument(help: "bash, zsh or fish.")
  var shell: Shell

  func run() throws {
    let kind: CompletionShell =
      switch shell {
      case .bash: .bash
      case .zsh: .zsh
      case .fish: .fish
      }
    Terminal.write(Starling.completionScript(for: kind) + "\n", to: .output)
  }
}

struct Version: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "This release, and the peer's where it can be reached.")

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let session = try common.session()
    let report = await session.versions()
    try session.print(report, output.output) { report.text }
  }
}
