import Glibc
import Kubernetes
import NodeHost
import Nodes

/// The CNI plugin: environment and standard input in, JSON on standard output.
@main enum StarlingCNI {
  static func main() {
    signal(SIGPIPE, SIG_IGN)
    var variables: [String: String] = [:]
    for name in ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"] {
      if let value = getenv(name) { variables[name] = String(cString: value) }
    }
    var input: [UInt8] = []
    do throws(CNIError) {
      input = try readInput()
      let plugin = CNIPlugin(host(input))
      if let output = try plugin.run(variables, input: input) { say(output) }
    } catch {
      say(error.json(CNIConfiguration.version(of: input)))
      exit(1)
    }
  }

  private static func readInput() throws(CNIError) -> [UInt8] {
    do throws(SystemError) {
      return try Files.read(STDIN_FILENO, limit: CNIConfiguration.limit, "standard input")
    } catch {
      throw CNIError(.failedIO, "standard input", details: "\(error)")
    }
  }

  /// Where things are; what is wrong with the configuration is said when it is used.
  private static func host(_ input: [UInt8]) -> PluginHost {
    guard let configuration = try? CNIConfiguration(input, verb: .delete) else {
      return PluginHost()
    }
    return PluginHost(
      stateFolder: configuration.stateFolder, agentSocket: configuration.agentSocket,
      agentNamespace: configuration.agentNamespace)
  }

  private static func say(_ json: JSON) {
    try? Files.write(json.bytes + [0x0a], to: STDOUT_FILENO, "standard output")
  }
}
