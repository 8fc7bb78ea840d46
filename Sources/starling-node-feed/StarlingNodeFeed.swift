import ArgumentParser
import Base
import Foundation
import Logging
import Runtime
import ServiceLifecycle
import UnixSignals

/// Follows the cluster's NodeNetworks for one node agent, which itself speaks to nobody.
@main struct StarlingNodeFeed: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "starling-node-feed",
    abstract: "Keeps the document of a node agent (starling-node) as the cluster's API has it.",
    discussion: """
      What goes wrong changes nothing: the document stays, and the agent keeps what is in force.
      In a Pod the ServiceAccount is used; it needs to list and watch nodenetworks.starling.dev.
      """)

  @Option(help: "The node's name in the cluster.")
  var node: String?

  @Option(help: "Instead of a node's: the gateway's own address, for the agent beside a gateway.")
  var gateway: String?

  @Option(help: "The document.")
  var document = "/var/lib/starling/node.json"

  @Option(help: "Outside of the cluster: files, separated by colons.")
  var kubeconfig = ""

  @Option(help: "Write it once, from a list as 'kubectl get nodenetworks -o json' prints it.")
  var from: String?

  func run() async throws {
    let subject = try subject()
    if let from {
      guard try NodeFeed.compose(subject, from: from, to: document) else {
        throw ValidationError("\(from) says nothing of it")
      }
      return
    }
    signal(SIGPIPE, SIG_IGN)
    let logger = Logger(label: "starling-node-feed")
    let feed = try NodeFeed(subject, document: document, kubeconfig: kubeconfig, logger: logger)
    var quiet = logger
    quiet.logLevel = .warning
    let services = ServiceGroupConfiguration(
      services: [.init(service: feed)], gracefulShutdownSignals: [.sigterm, .sigint],
      logger: quiet)
    try await ServiceGroup(configuration: services).run()
  }

  private func subject() throws -> NodeFeed.Subject {
    switch (node, gateway) {
    case (let name?, nil) where !name.isEmpty: return .node(name)
    case (nil, let text?):
      guard let address = IPAddress(text) else {
        throw ValidationError("--gateway: an IP address")
      }
      return .gateway(address)
    default: throw ValidationError("either --node or --gateway")
    }
  }
}
