public import Base
internal import Foundation
internal import Kubernetes
public import Logging
internal import Nodes
public import ServiceLifecycle

/// Brings one node agent (or one gateway's) what it is told: follows the NodeNetworks of the cluster
/// and keeps the agent's document.
///
/// Whatever goes wrong, the document stays as it is: an agent without news keeps what is in force. An
/// object that is gone is no news either; a node that has no part in a slice has one that says so.
public struct NodeFeed: Service, Sendable {
  /// Whose document it is.
  public enum Subject: Hashable, Sendable {
    case node(String)
    /// The gateway with this address of its own.
    case gateway(IPAddress)
  }

  private let subject: Subject
  private let path: String
  private let services: String?
  private let access: ClusterAccess
  private let logger: Logger

  /// Changes that come close together are one document.
  static let interval: Duration = .milliseconds(50)
  static let retry: Duration = .seconds(2)
  /// Of the document.
  static let limit = 32 << 20

  /// - Parameters:
  ///   - path: of the document.
  ///   - plan: of the gateway process that is to be told beside it what the cluster exports.
  ///   - kubeconfig: empty: in the cluster.
  public init(
    _ subject: Subject, document path: String, plan: String? = nil, kubeconfig: String,
    logger: Logger
  ) throws {
    self.subject = subject
    self.path = path
    services = plan.map { GatewayServicesFile.path(forPlan: $0) }
    self.logger = logger
    access = try AccessLoader.load(
      kubeconfig: kubeconfig, context: "", environment: ProcessInfo.processInfo.environment)
  }

  static var watched: WatchConfiguration {
    var configuration = WatchConfiguration(.nodeNetworks)
    configuration.isOptional = true
    configuration.keeps = [["spec"], ["status", "conditions"]]
    configuration.limits = ObjectStore.Limits(objects: NodeComposer.nodeLimit, bytes: 256 << 20)
    return configuration
  }

  public func run() async throws {
    let transport = APITransport(access)
    let (changes, changed) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    let watch = ClusterWatch(transport, logger: logger) { _, _ in changed.yield() }
    await watch.start([Self.watched])
    let reports = Task { [transport] in
      guard case .node(let name) = subject else { return }
      let reporter = NodeReporter(
        node: name, document: path, transport: transport, watch: watch, logger: logger)
      await reporter.run()
    }
    var written = (try? PrivateFile.read(path, limit: Self.limit))?.bytes
    var told: [UInt8]?
    var complaint = ""
    for await _ in changes.cancelOnGracefulShutdown() {
      try? await Task.sleep(for: Self.interval)
      guard let objects = await watch.objects else { continue }
      do {
        guard let document = try Self.document(subject, objects) else { continue }
        try tell(objects, &told)
        guard document != written else { continue }
        try Self.write(document, to: path)
        written = document
        complaint = ""
        logger.info("document written", metadata: ["path": "\(path)"])
      } catch {
        // The agent goes on with what it has.
        if complaint != error.text {
          logger.error("no document", metadata: ["why": "\(error.text)"])
        }
        complaint = error.text
        Task {
          try? await Task.sleep(for: Self.retry)
          changed.yield()
        }
      }
    }
    reports.cancel()
    await reports.value
    await watch.stop()
    await transport.shutdown()
  }

  private func tell(_ objects: ClusterObjects, _ told: inout [UInt8]?) throws(Problem) {
    guard let services else { return }
    let networks = Self.networks(objects.all(.nodeNetworks))
    let text = JSON.object(["services": .array(NodeComposer.services(of: networks))]).bytes
    guard text != told else { return }
    try Self.write(text, to: services)
    told = text
  }

  public struct Problem: Error, Hashable, Sendable, CustomStringConvertible {
    public var text: String
    public var description: String { text }
  }

  private static func write(_ document: [UInt8], to path: String) throws(Problem) {
    do throws(FileError) {
      try PrivateFile.write(document, to: path)
    } catch {
      throw Problem(text: "\(path): \(error.reason)")
    }
  }

  /// - Returns: `nil` where there is no news.
  private static func document(
    _ subject: Subject, _ objects: ClusterObjects
  ) throws(Problem) -> [UInt8]? {
    guard objects.isServed(.nodeNetworks) else {
      throw Problem(text: "nodenetworks.starling.dev is not served here")
    }
    guard objects.isComplete(.nodeNetworks) else {
      throw Problem(text: "there are more than \(NodeComposer.nodeLimit) nodes")
    }
    return try document(subject, objects.all(.nodeNetworks))
  }

  private static func networks(_ objects: [KubernetesObject]) -> [String: JSON] {
    Dictionary(objects.map { ($0.name, $0.spec) }, uniquingKeysWith: { first, _ in first })
  }

  private static func document(
    _ subject: Subject, _ objects: [KubernetesObject]
  ) throws(Problem) -> [UInt8]? {
    let networks = networks(objects)
    let json =
      switch subject {
      case .node(let name): NodeComposer.node(name, of: networks)
      case .gateway(let address): NodeComposer.gateway(address, of: networks)
      }
    guard let json else { return nil }
    do {
      // What an agent would refuse is not given to it.
      _ = try NodeDocument(json)
    } catch {
      throw Problem(text: error.description)
    }
    return json.bytes
  }

  /// The same once, from a list as `kubectl get nodenetworks -o json` prints it.
  ///
  /// - Returns: `false` where the list has nothing for the subject.
  public static func compose(
    _ subject: Subject, from list: String, to path: String
  ) throws(Problem) -> Bool {
    let bytes: [UInt8]
    do throws(FileError) {
      bytes = try PrivateFile.read(list, limit: limit).bytes
    } catch {
      throw Problem(text: "\(list): \(error.reason)")
    }
    guard let items = (try? JSON(parsing: bytes, limits: .page))?["items"]?.array else {
      throw Problem(text: "\(list): this is no list of NodeNetworks")
    }
    guard let document = try document(subject, items.compactMap { KubernetesObject($0) }) else {
      return false
    }
    try write(document, to: path)
    return true
  }
}
