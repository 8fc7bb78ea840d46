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
      In a Pod the ServiceAccount is used; it needs to list and watch nodenetworks.starling.dev, and to \
      patch nodenetworks/status, where it says how the agent fares.
      With --secret it also keeps the plan of a gateway (starling-gateway) as that Secret has it, and \
      says in slicegateways.starling.dev how the tunnels are.
      """)

  @Option(help: "The node's name in the cluster.")
  var node: String?

  @Option(
    help: "Instead of a node's: the gateway's own address (or addresses, separated by commas).")
  var gateway: String?

  @Option(help: "Beside a gateway: the Secret with its plan, in the namespace of the Pod.")
  var secret: String?

  @Option(help: "Where the gateway's plan is kept.")
  var plan = "/run/starling/plan.json"

  @Option(help: "The gateway's Pod, in whose name is told how the tunnels are.")
  var pod = ""

  @Option(help: "Where the Secret is; empty: the namespace of the Pod or of the context.")
  var namespace = ""

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
    var feeds: [any Service] = [
      try NodeFeed(
        subject, document: document, plan: secret == nil ? nil : plan, kubeconfig: kubeconfig,
        logger: logger)
    ]
    if let secret {
      feeds.append(
        try GatewayFeed(
          GatewayFeed.Subject(secret: secret, plan: plan, pod: pod, document: document),
          kubeconfig: kubeconfig,
          namespace: namespace.isEmpty ? nil : namespace, logger: logger))
    }
    var quiet = logger
    quiet.logLevel = .warning
    let services = ServiceGroupConfiguration(
      services: feeds.map { .init(service: $0) }, gracefulShutdownSignals: [.sigterm, .sigint],
      logger: quiet)
    try await ServiceGroup(configuration: services).run()
  }

  private func subject() throws -> NodeFeed.Subject {
    switch (node, gateway) {
    case (let name?, nil) where !name.isEmpty: return .node(name)
    case (nil, let text?):
      let addresses = text.split(separator: ",").compactMap { IPAddress(String($0)) }
      // The one that the operator tells the nodes: IPv4 where there is one.
      guard let address = addresses.first(where: { $0.family == .v4 }) ?? addresses.first else {
        throw ValidationError("--gateway: an IP address")
      }
      return .gateway(address)
    default: throw ValidationError("either --node or --gateway")
    }
  }
}
