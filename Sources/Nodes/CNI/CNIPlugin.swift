internal import Base
public import Kubernetes

/// What the plugin needs of the machine.
public protocol CNIHost {
  /// `nil`: the agent never told.
  func podNamespaces() -> PodNamespaces?
  /// `nil`: the agent does not answer.
  func ask(_ request: AgentRequest) -> AgentAnswer?
  /// `nil`: no record of it.
  func record(_ id: AttachmentID) -> Attachment?
  func records() throws(CNIError) -> [Attachment]
  /// No error where there is none.
  func removeRecord(_ id: AttachmentID) throws(CNIError)
  /// Makes the link with everything on it; what an interrupted attempt left is replaced.
  func connect(_ attachment: Attachment, namespace: String) throws(CNIError)
  /// What differs; `nil`: nothing.
  func difference(_ attachment: Attachment, namespace: String) throws(CNIError) -> String?
  /// Takes the node's end away, and with it the Pod's. No error where there is none.
  func disconnect(_ id: AttachmentID) throws(CNIError)
  /// For people: goes to standard error.
  func note(_ text: String)
}

/// `starling-cni`: gives Pods of slices of overlay `pod` the interface `slice0`, and lets all others
/// pass untouched, also while the agent is away.
///
/// The order of steps keeps everything findable: the agent writes the record before the kernel is
/// touched, and the record goes only when the kernel's side is gone. Whatever is interrupted is thus
/// mended by repeating it, by DEL, by GC, or by the agent.
public struct CNIPlugin<Host: CNIHost> {
  public var host: Host

  public init(_ host: Host) { self.host = host }

  /// - Returns: what goes to standard output; `nil`: nothing.
  public func run(_ variables: [String: String], input: [UInt8]) throws(CNIError) -> JSON? {
    let environment = try CNIEnvironment(variables)
    if environment.verb == .version { return try Self.versions(input) }
    let configuration = try CNIConfiguration(input, verb: environment.verb)
    switch environment.verb {
    case .add: return try add(environment, configuration)
    case .check: try check(environment, configuration)
    case .delete: try delete(environment.attachment)
    case .collect: try collect(configuration)
    // Without the agent all Pods but those of its slices still start. An error here would make the
    // runtime report the whole node as not ready.
    case .status, .version: break
    }
    return nil
  }

  private static func versions(_ input: [UInt8]) throws(CNIError) -> JSON {
    if input.allSatisfy({ $0 <= 0x20 }) { return CNIResult.versions(asked: nil) }
    guard let json = try? JSON(parsing: input), json.members != nil else {
      throw CNIError(.undecodable, "the input is no JSON object")
    }
    return CNIResult.versions(asked: json["cniVersion"]?.string)
  }

  private func add(
    _ environment: CNIEnvironment, _ configuration: CNIConfiguration
  ) throws(CNIError) -> JSON {
    guard configuration.previous != nil else {
      throw CNIError(
        .invalidConfiguration, "prevResult is missing",
        details: "starling-cni stands behind the cluster's own plugin in a list")
    }
    let passed = CNIResult.passed(configuration)
    guard let namespace = environment.arguments["K8S_POD_NAMESPACE"],
      let pod = environment.arguments["K8S_POD_NAME"], let path = environment.namespace
    else { return passed }
    guard let slice = host.podNamespaces()?.slices[namespace] else { return passed }
    let request = AgentRequest(
      id: environment.attachment, network: configuration.name, namespace: namespace, pod: pod)
    switch host.ask(request) {
    case .attach(let attachment):
      guard attachment.id == environment.attachment else {
        throw CNIError(.failedIO, "the node agent answered about another attachment")
      }
      try host.connect(attachment, namespace: path)
      return CNIResult.attached(attachment, namespace: path, configuration)
    case .pass(let why):
      host.note("\(namespace)/\(pod) gets no address of \(slice): \(why)")
      return passed
    case .later(let why):
      throw CNIError(.tryAgain, "no address of \(slice) for \(namespace)/\(pod)", details: why)
    case nil:
      throw CNIError(
        .tryAgain, "no address of \(slice) for \(namespace)/\(pod)",
        details: "the node agent does not answer")
    }
  }

  private func check(
    _ environment: CNIEnvironment, _ configuration: CNIConfiguration
  ) throws(CNIError) {
    guard let previous = configuration.previous else {
      throw CNIError(.invalidConfiguration, "prevResult is missing")
    }
    guard let path = environment.namespace else { return }
    let address = CNIResult.sliceAddress(previous)
    guard let attachment = host.record(environment.attachment) else {
      guard address == nil else {
        throw CNIError(
          .missing, "there is no record of the slice's address", details: address ?? "")
      }
      return
    }
    // A record without an interface in the result: the Pod was let pass later.
    guard let address else { return }
    guard address == "\(attachment.address)/\(attachment.address.family.bits)" else {
      throw CNIError(
        .missing, "the slice's address is another",
        details: "\(address) was given, \(attachment.address) is recorded")
    }
    if let difference = try host.difference(attachment, namespace: path) {
      throw CNIError(.missing, "the slice's interface is not as it was made", details: difference)
    }
  }

  private func delete(_ id: AttachmentID) throws(CNIError) {
    try host.disconnect(id)
    try host.removeRecord(id)
  }

  private func collect(_ configuration: CNIConfiguration) throws(CNIError) {
    let valid = configuration.validAttachments ?? []
    var first: CNIError?
    for record in try host.records()
    where record.network == configuration.name && !valid.contains(record.id) {
      // One that cannot go keeps no other from going.
      do throws(CNIError) { try delete(record.id) } catch { first = first ?? error }
    }
    if let first { throw first }
  }
}
