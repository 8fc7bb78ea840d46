/// What the runtime says in the environment.
public struct CNIEnvironment: Hashable, Sendable {
  public var verb: CNIVerb
  /// Empty for GC, STATUS and VERSION.
  public var attachment: AttachmentID
  /// Path of the Pod's network namespace; `nil`: gone (DEL), or not asked for.
  public var namespace: String?
  /// `CNI_ARGS`: `K8S_POD_NAMESPACE` and others.
  public var arguments: [String: String]

  /// Longer than any runtime's identifier.
  public static let textLimit = 4096

  /// - Throws: code 4 with the name of the variable that is wrong.
  public init(_ variables: [String: String]) throws(CNIError) {
    guard let text = variables["CNI_COMMAND"], !text.isEmpty else {
      throw Self.wrong("CNI_COMMAND", "is missing")
    }
    guard let verb = CNIVerb(rawValue: text) else {
      throw Self.wrong("CNI_COMMAND", "is none of \(Self.verbs)")
    }
    self.verb = verb
    attachment = AttachmentID(container: "", interface: "")
    arguments = [:]
    guard [.add, .check, .delete].contains(verb) else { return }
    attachment = try Self.attachment(variables)
    let path = variables["CNI_NETNS"] ?? ""
    guard path.utf8.count <= Self.textLimit else { throw Self.wrong("CNI_NETNS", "is too long") }
    if path.isEmpty, verb != .delete { throw Self.wrong("CNI_NETNS", "is missing") }
    namespace = path.isEmpty ? nil : path
    arguments = try Self.arguments(variables["CNI_ARGS"] ?? "")
  }

  private static func attachment(
    _ variables: [String: String]
  ) throws(CNIError) -> AttachmentID {
    let container = variables["CNI_CONTAINERID"] ?? ""
    let interface = variables["CNI_IFNAME"] ?? ""
    guard AttachmentID.isContainer(container) else {
      throw wrong(
        "CNI_CONTAINERID", container.isEmpty ? "is missing" : "is no container's identifier")
    }
    guard AttachmentID.isInterface(interface) else {
      throw wrong("CNI_IFNAME", interface.isEmpty ? "is missing" : "is no interface's name")
    }
    return AttachmentID(container: container, interface: interface)
  }

  /// `KEY=VALUE;KEY=VALUE`. Unknown keys are not ours to judge.
  private static func arguments(_ text: String) throws(CNIError) -> [String: String] {
    guard text.utf8.count <= textLimit else { throw wrong("CNI_ARGS", "is too long") }
    var out: [String: String] = [:]
    for pair in text.split(separator: ";") {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else { throw wrong("CNI_ARGS", "has a pair without \"=\"") }
      out[String(parts[0])] = String(parts[1])
    }
    return out
  }

  private static let verbs = CNIVerb.allCases.map(\.rawValue).joined(separator: ", ")

  private static func wrong(_ name: String, _ why: String) -> CNIError {
    CNIError(.invalidEnvironment, "\(name) \(why)")
  }
}
