internal import Base
internal import Foundation
internal import Kubernetes
public import Logging
public import ServiceLifecycle

/// Between one gateway process and its cluster's API, so that the process itself has no rights there:
/// follows the Secret with its plan, and says in SliceGateways how its tunnels are.
///
/// Whatever goes wrong, the plan stays as it is, and so do the tunnels.
public struct GatewayFeed: Service, Sendable {
  public struct Subject: Hashable, Sendable {
    /// In the feed's own namespace.
    public var secret: String
    /// Where the gateway process finds its plan.
    public var plan: String
    /// Whose words these are.
    public var pod: String
    /// Of the node agent beside the gateway process.
    public var document: String

    public init(secret: String, plan: String, pod: String, document: String) {
      self.secret = secret
      self.plan = plan
      self.pod = pod
      self.document = document
    }
  }

  private let subject: Subject
  private let access: ClusterAccess
  private let namespace: String
  private let logger: Logger

  static let retry: Duration = .seconds(2)
  /// How often the process's own words are looked at.
  static let look: Duration = .milliseconds(200)

  /// - Parameter kubeconfig: empty: in the cluster.
  public init(
    _ subject: Subject, kubeconfig: String, namespace: String? = nil, logger: Logger
  ) throws {
    self.subject = subject
    self.logger = logger
    access = try AccessLoader.load(
      kubeconfig: kubeconfig, context: "", environment: ProcessInfo.processInfo.environment)
    self.namespace = namespace ?? access.namespace
  }

  static func watched(_ secret: String, in namespace: String) -> WatchConfiguration {
    var configuration = WatchConfiguration(.secrets)
    configuration.namespace = namespace
    configuration.fieldSelector = "metadata.name=\(secret)"
    configuration.mayBeForbidden = true
    configuration.keeps = GatewayWorkloads.secretKeeps
    configuration.limits = ObjectStore.Limits(objects: 4, bytes: 8 << 20)
    return configuration
  }

  public func run() async throws {
    let transport = APITransport(access)
    let reporter = GatewayReporter(transport, subject, logger: logger)
    let (changes, changed) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    let watch = ClusterWatch(transport, logger: logger) { _, _ in changed.yield() }
    await watch.start([Self.watched(subject.secret, in: namespace)])
    let reports = Task {
      while !Task.isCancelled {
        await reporter.look()
        try? await Task.sleep(for: Self.look)
      }
    }
    var complaint = ""
    for await _ in changes.cancelOnGracefulShutdown() {
      guard let objects = await watch.objects else { continue }
      do {
        if try take(objects) { logger.info("new plan", metadata: ["path": "\(subject.plan)"]) }
        complaint = ""
      } catch {
        // The gateway goes on with what it has.
        if complaint != error.text { logger.error("no plan", metadata: ["why": "\(error.text)"]) }
        complaint = error.text
        Task {
          try? await Task.sleep(for: Self.retry)
          changed.yield()
        }
      }
    }
    reports.cancel()
    _ = await reports.result
    await reporter.end()
    await watch.stop()
    await transport.shutdown()
  }

  /// - Returns: whether there was something new. A Secret that is gone is no news.
  private func take(_ objects: ClusterObjects) throws(NodeFeed.Problem) -> Bool {
    let id = ObjectID(.secrets, ObjectKey(namespace: namespace, name: subject.secret))
    guard objects.isServed(.secrets) else {
      throw NodeFeed.Problem(text: "the Secret \(subject.secret) may not be read")
    }
    guard let text = objects[id]?.json.at("data", GatewayWorkloads.planKey)?.string else {
      return false
    }
    guard let plan = Base64.decode(text) else {
      throw NodeFeed.Problem(text: "the plan in \(subject.secret) is no base64")
    }
    let old = (try? PrivateFile.read(subject.plan, limit: GatewayPlanFile.limit))?.bytes
    guard plan != old else { return false }
    do {
      // What a gateway would refuse is not given to it.
      _ = try GatewayPlanFile(json: plan)
    } catch {
      throw NodeFeed.Problem(text: "the plan in \(subject.secret): \(error)")
    }
    do throws(FileError) {
      try PrivateFile.write(plan, to: subject.plan)
    } catch {
      throw NodeFeed.Problem(text: "\(subject.plan): \(error.reason)")
    }
    return true
  }
}
