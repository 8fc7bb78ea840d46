import Glibc
import NodeHost

/// The node agent.
@main enum StarlingNode {
  static func main() {
    signal(SIGPIPE, SIG_IGN)
    do {
      let options = try NodeOptions(Array(CommandLine.arguments.dropFirst()))
      if options.asksForHelp {
        return try Files.write(Array("\(NodeOptions.usage)\n".utf8), to: STDOUT_FILENO, "stdout")
      }
      var agent = NodeAgent(options)
      if options.removes { try agent.remove() } else { try agent.run() }
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
