import Nodes

/// Flags of the agent: `--name value`.
struct NodeOptions {
  var document = "/var/lib/starling/node.json"
  var stateFolder = CNIConfiguration.defaultStateFolder
  var socket = CNIConfiguration.defaultSocket
  /// Under `/run/netns`, where `ip` looks.
  var namespace = "starling"
  /// Where the runtime looks for configuration lists; empty: the plugin is not put into any.
  var cniFolder = ""
  var removes = false
  var asksForHelp = false

  static let usage = """
    usage: starling-node [--document FILE] [--state FOLDER] [--socket FILE] [--netns NAME]
                         [--cni-conf FOLDER] [--remove]

    Makes this node's network what the document says, and keeps it so. --remove takes away
    everything that the agent made.
    """

  struct Problem: Error { var text: String }

  init(_ arguments: [String]) throws(Problem) {
    var rest = arguments[...]
    while let flag = rest.popFirst() {
      if flag == "--remove" {
        removes = true
        continue
      }
      if flag == "--help" || flag == "-h" {
        asksForHelp = true
        continue
      }
      guard let value = rest.popFirst(), !value.isEmpty else {
        throw Problem(text: "\(flag): a value is missing")
      }
      switch flag {
      case "--document": document = value
      case "--state": stateFolder = value
      case "--socket": socket = value
      case "--netns":
        guard value.utf8.count < 64, !value.contains("/"), value.first != "." else {
          throw Problem(text: "--netns: a name without /")
        }
        namespace = value
      case "--cni-conf": cniFolder = value
      default: throw Problem(text: "\(flag) is not known")
      }
    }
  }

  var namespacePath: String { "/run/netns/\(namespace)" }
}
