public import Kubernetes

/// What the plugin asks the agent over its socket: one line of JSON, answered by one.
public struct AgentRequest: Hashable, Sendable {
  public var id: AttachmentID
  public var network: String
  public var namespace: String
  public var pod: String

  public static let limit = 64 << 10

  public init(id: AttachmentID, network: String, namespace: String, pod: String) {
    self.id = id
    self.network = network
    self.namespace = namespace
    self.pod = pod
  }

  public var json: JSON {
    .object([
      "container": .string(id.container), "interface": .string(id.interface),
      "network": .string(network), "namespace": .string(namespace), "pod": .string(pod),
    ])
  }

  public init?(_ json: JSON) {
    guard let container = json["container"]?.string, let interface = json["interface"]?.string,
      let id = AttachmentID("\(container)@\(interface)"), let network = json["network"]?.string,
      let namespace = json["namespace"]?.string, let pod = json["pod"]?.string
    else { return nil }
    self.init(id: id, network: network, namespace: namespace, pod: pod)
  }
}

public enum AgentAnswer: Hashable, Sendable {
  /// Decided, and written down.
  case attach(Attachment)
  /// No slice for this Pod, and why.
  case pass(String)
  /// Not now.
  case later(String)

  public var json: JSON {
    switch self {
    case .attach(let attachment): .object(["attach": attachment.json])
    case .pass(let why): .object(["pass": .string(why)])
    case .later(let why): .object(["later": .string(why)])
    }
  }

  public init?(_ json: JSON) {
    if let attachment = json["attach"].flatMap({ Attachment($0) }) {
      self = .attach(attachment)
    } else if let why = json["pass"]?.string {
      self = .pass(why)
    } else if let why = json["later"]?.string {
      self = .later(why)
    } else {
      return nil
    }
  }
}
