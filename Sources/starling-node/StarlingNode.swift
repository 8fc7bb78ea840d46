import Glibc
import NodeHost

/// The node agent.
@main enum StarlingNode {
  static func main() {
    signal(SIGPIPE, SIG_IGN)
    do {
      var agent = NodeAgent(try NodeOptions(Array(CommandLine.arguments.dropFirst())))
      if CommandLine.arguments.contains("--remove") { try agent.remove() } else { try agent.run() }
    } catch let problem as NodeOptions.Problem {
      say("\(problem.text)\n\(NodeOptions.usage)")
      // EX_USAGE of sysexits(3).
      exit(64)
    } catch {
      say("\(error)")
      exit(1)
    }
  }

  private static func say(_ text: String) {
    try? Files.write(Array("starling-node: \(text)\n".utf8), to: STDERR_FILENO, "stderr")
  }
}
