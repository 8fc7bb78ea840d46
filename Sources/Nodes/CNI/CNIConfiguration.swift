public import Kubernetes

/// What the runtime writes to standard input.
public struct CNIConfiguration: Hashable, Sendable {
  public var version: CNIVersion
  public var name: String
  /// The result of the plugins before this one.
  public var previous: JSON?
  /// `cni.dev/valid-attachments`; `nil`: not said.
  public var validAttachments: Set<AttachmentID>?
  /// Attachments and what the agent told, one file each.
  public var stateFolder: String
  public var agentSocket: String
  /// The agent's own network namespace.
  public var agentNamespace: String

  public static let limit = 1 << 20
  public static let attachmentLimit = 100_000
  public static let defaultStateFolder = "/var/lib/starling/cni"
  public static let defaultSocket = "/run/starling/node.sock"
  public static let defaultNamespace = "/run/netns/starling"

  /// - Throws: codes 1, 6 and 7.
  public init(_ bytes: [UInt8], verb: CNIVerb) throws(CNIError) {
    let json = try Self.parse(bytes)
    version = try Self.version(json)
    guard version >= verb.since else {
      throw CNIError(
        .incompatibleVersion, "\(verb.rawValue) does not exist in version \(version.rawValue)",
        details: "it came with \(verb.since.rawValue)")
    }
    let name = json["name"]?.string ?? ""
    guard AttachmentID.isName(name) else { throw Self.wrong("name", "is no network's name") }
    self.name = name
    guard json["type"]?.string?.isEmpty == false else { throw Self.wrong("type", "is missing") }
    stateFolder = try Self.path("stateDir", json) ?? Self.defaultStateFolder
    agentSocket = try Self.path("agentSocket", json) ?? Self.defaultSocket
    agentNamespace = try Self.path("agentNetns", json) ?? Self.defaultNamespace
    previous = try Self.previous(json)
    validAttachments = verb == .collect ? try Self.attachments(json) : nil
  }

  /// The version alone, to answer in it where the rest is wrong.
  public static func version(of bytes: [UInt8]) -> CNIVersion? {
    guard let json = try? parse(bytes) else { return nil }
    return try? version(json)
  }

  private static func parse(_ bytes: [UInt8]) throws(CNIError) -> JSON {
    do throws(JSONError) {
      let json = try JSON(parsing: bytes, limits: JSONLimits(bytes: limit, values: 500_000))
      guard json.members != nil else {
        throw JSONError.expected("an object", at: 0)
      }
      return json
    } catch {
      throw CNIError(
        .undecodable, "the configuration is no JSON object", details: error.description)
    }
  }

  private static func version(_ json: JSON) throws(CNIError) -> CNIVersion {
    // Configurations without a version are of 0.1.0, which nobody speaks any more.
    let text = json["cniVersion"]?.string ?? "0.1.0"
    guard let version = CNIVersion(rawValue: text) else {
      throw CNIError(
        .incompatibleVersion, "version \(text.prefix(32)) is not spoken here",
        details: CNIVersion.allCases.map(\.rawValue).joined(separator: ", ") + " are")
    }
    return version
  }

  private static func path(_ field: String, _ json: JSON) throws(CNIError) -> String? {
    guard let value = json[field] else { return nil }
    guard let text = value.string, text.hasPrefix("/"), text.utf8.count < 100 else {
      throw wrong(field, "is no absolute path of less than 100 bytes")
    }
    return text
  }

  private static func previous(_ json: JSON) throws(CNIError) -> JSON? {
    guard let previous = json["prevResult"], previous != .null else { return nil }
    guard previous.members != nil else { throw wrong("prevResult", "is no object") }
    for field in ["interfaces", "ips", "routes"] {
      if let value = previous[field], value != .null, value.array == nil {
        throw wrong("prevResult.\(field)", "is no list")
      }
    }
    return previous
  }

  private static func attachments(_ json: JSON) throws(CNIError) -> Set<AttachmentID> {
    // Absent is not empty: nobody should lose every Pod's interface to a forgotten field.
    guard let list = json["cni.dev/valid-attachments"]?.array else {
      throw wrong("cni.dev/valid-attachments", "is missing or no list")
    }
    guard list.count <= attachmentLimit else {
      throw wrong("cni.dev/valid-attachments", "has more than \(attachmentLimit) items")
    }
    var out: Set<AttachmentID> = []
    for item in list {
      guard let container = item["containerID"]?.string, let interface = item["ifname"]?.string
      else { throw wrong("cni.dev/valid-attachments", "has an item without names") }
      out.insert(AttachmentID(container: container, interface: interface))
    }
    return out
  }

  private static func wrong(_ field: String, _ why: String) -> CNIError {
    CNIError(.invalidConfiguration, "\(field) \(why)")
  }
}
