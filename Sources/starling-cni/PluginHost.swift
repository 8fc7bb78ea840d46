import Glibc
import Kubernetes
import NodeHost
import Nodes

/// This machine, as the plugin needs it.
struct PluginHost: CNIHost {
  var stateFolder = CNIConfiguration.defaultStateFolder
  var agentSocket = CNIConfiguration.defaultSocket
  var agentNamespace = CNIConfiguration.defaultNamespace

  private var folder: AttachmentFolder { AttachmentFolder(stateFolder) }

  func podNamespaces() -> PodNamespaces? {
    let path = "\(stateFolder)/\(PodNamespaces.fileName)"
    guard Files.exists(path) else { return nil }
    do {
      let json = try JSON(parsing: try Files.read(path))
      if let namespaces = PodNamespaces(json) { return namespaces }
      note("\(path) is not what the agent writes; all Pods pass")
    } catch {
      note("\(path): \(error); all Pods pass")
    }
    return nil
  }

  func ask(_ request: AgentRequest) -> AgentAnswer? {
    AgentClient.ask(request, socket: agentSocket)
  }

  func record(_ id: AttachmentID) -> Attachment? { folder.read(id) }

  func records() throws(CNIError) -> [Attachment] {
    do throws(SystemError) {
      return try folder.all()
    } catch {
      throw CNIError(.failedIO, "records cannot be read", details: "\(error)")
    }
  }

  func removeRecord(_ id: AttachmentID) throws(CNIError) {
    do throws(SystemError) {
      try folder.remove(id)
    } catch {
      throw CNIError(.failedIO, "a record cannot be removed", details: "\(error)")
    }
  }

  func connect(_ attachment: Attachment, namespace: String) throws(CNIError) {
    try guarded { try PodLinks.connect(attachment, pod: namespace, agent: agentNamespace) }
  }

  func difference(_ attachment: Attachment, namespace: String) throws(CNIError) -> String? {
    try guarded {
      try PodLinks.difference(attachment, pod: namespace, agent: agentNamespace)
    }
  }

  func disconnect(_ id: AttachmentID) throws(CNIError) {
    try guarded { try PodLinks.disconnect(id, agent: agentNamespace) }
  }

  private func guarded<Value>(_ body: () throws -> Value) throws(CNIError) -> Value {
    do {
      return try body()
    } catch {
      throw CNIError(.refusedByKernel, "the slice's interface", details: "\(error)")
    }
  }

  func note(_ text: String) {
    try? Files.write(Array("starling-cni: \(text)\n".utf8), to: STDERR_FILENO, "stderr")
  }
}
