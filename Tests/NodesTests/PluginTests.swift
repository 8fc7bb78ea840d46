import Base
import Kubernetes
import Testing

@testable import Nodes

/// The plugin against a machine that keeps count.
@Suite struct PluginTests {
  /// Testing has a type of that name too.
  typealias Attachment = Nodes.Attachment

  final class Machine: CNIHost {
    var namespaces: PodNamespaces? = PodNamespaces(slices: ["shop": "red"])
    var answer: AgentAnswer?
    var kept: [AttachmentID: Attachment] = [:]
    var links: Set<AttachmentID> = []
    var asked = 0
    var refuses: Set<AttachmentID> = []

    func podNamespaces() -> PodNamespaces? { namespaces }
    func ask(_ request: AgentRequest) -> AgentAnswer? {
      asked += 1
      if case .attach(let attachment) = answer { kept[attachment.id] = attachment }
      return answer
    }
    func record(_ id: AttachmentID) -> Attachment? { kept[id] }
    func records() throws(CNIError) -> [Attachment] {
      kept.values.sorted { $0.id < $1.id }
    }
    func removeRecord(_ id: AttachmentID) throws(CNIError) { kept[id] = nil }
    func connect(_ attachment: Attachment, namespace: String) throws(CNIError) {
      links.insert(attachment.id)
    }
    func difference(_ attachment: Attachment, namespace: String) throws(CNIError) -> String? {
      links.contains(attachment.id) ? nil : "gone"
    }
    func disconnect(_ id: AttachmentID) throws(CNIError) {
      guard !refuses.contains(id) else { throw CNIError(.refusedByKernel, "no") }
      links.remove(id)
    }
    func note(_ text: String) {}
  }

  private let machine = Machine()

  private func variables(_ verb: String, _ more: [String: String] = [:]) -> [String: String] {
    [
      "CNI_COMMAND": verb, "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_NETNS": "/n",
      "CNI_ARGS": "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web",
    ].merging(more) { $1 }
  }

  private func run(
    _ verb: String, _ config: JSON, _ more: [String: String] = [:]
  ) throws(CNIError) -> JSON? {
    try CNIPlugin(machine).run(variables(verb, more), input: config.bytes)
  }

  private func config(_ version: String, _ more: [String: JSON] = [:]) -> JSON {
    .object(
      [
        "cniVersion": .string(version), "name": "lab", "type": "starling-cni",
        "prevResult": ["interfaces": [["name": "eth0"]], "ips": [["address": "10.0.0.2/24"]]],
      ].merging(more) { $1 })
  }

  private func attachment(_ container: String = "c1") throws -> Attachment {
    Attachment(
      id: AttachmentID(container: container, interface: "eth0"), network: "lab",
      namespace: "shop", pod: "web", slice: "red", address: try #require(IPAddress("10.12.17.3")),
      cidr: try #require(IPPrefix("10.12.0.0/16")), mtu: 1370)
  }

  private func code(_ body: () throws(CNIError) -> JSON?) -> CNIError.Code? {
    do throws(CNIError) {
      _ = try body()
      return nil
    } catch {
      return error.code
    }
  }

  @Test func podsOfOtherNamespacesPassWithoutTheAgent() throws {
    let out = try run(
      "ADD", config("1.0.0"), ["CNI_ARGS": "K8S_POD_NAMESPACE=x;K8S_POD_NAME=y"])
    #expect(out?["ips"]?.array?.count == 1)
    #expect(machine.asked == 0)
    machine.namespaces = nil
    #expect(try run("ADD", config("1.0.0")) != nil)
    #expect(machine.asked == 0)
  }

  @Test func membersWaitForTheAgent() throws {
    #expect(code { () throws(CNIError) in try run("ADD", config("1.0.0")) } == .tryAgain)
    machine.answer = .later("full")
    #expect(code { () throws(CNIError) in try run("ADD", config("1.0.0")) } == .tryAgain)
    machine.answer = .pass("opted out")
    #expect(try run("ADD", config("1.0.0"))?["interfaces"]?.array?.count == 1)
    machine.answer = .attach(try attachment())
    let out = try run("ADD", config("0.4.0"))
    #expect(out?["ips"]?.array?.last?["version"] == "4")
    #expect(out?["interfaces"]?.array?.last?["name"] == "slice0")
  }

  @Test func checkSeesWhatIsGone() throws {
    machine.answer = .attach(try attachment())
    let result = try #require(try run("ADD", config("1.1.0")))
    let check = config("1.1.0", ["prevResult": result])
    #expect(code { () throws(CNIError) in try run("CHECK", check) } == nil)
    machine.links = []
    #expect(code { () throws(CNIError) in try run("CHECK", check) } == .missing)
    machine.kept = [:]
    #expect(code { () throws(CNIError) in try run("CHECK", check) } == .missing)
    #expect(code { () throws(CNIError) in try run("CHECK", config("1.1.0")) } == nil)
    #expect(
      code { () throws(CNIError) in try run("CHECK", config("0.3.1")) } == .incompatibleVersion)
  }

  /// One that cannot go keeps no other from going; and nothing goes for a forgotten field.
  @Test func collectionGoesOn() throws {
    for name in ["a", "b", "c"] {
      let item = try attachment(name)
      machine.kept[item.id] = item
      machine.links.insert(item.id)
    }
    #expect(
      code { () throws(CNIError) in try run("GC", config("1.1.0")) } == .invalidConfiguration)
    #expect(machine.kept.count == 3)
    machine.refuses = [AttachmentID(container: "a", interface: "eth0")]
    let valid: JSON = [["containerID": "c", "ifname": "eth0"]]
    let collect = config("1.1.0", ["cni.dev/valid-attachments": valid])
    #expect(code { () throws(CNIError) in try run("GC", collect) } == .refusedByKernel)
    #expect(machine.kept.keys.map { $0.container }.sorted() == ["a", "c"])
    machine.refuses = []
    #expect(code { () throws(CNIError) in try run("GC", collect) } == nil)
    #expect(machine.links.map(\.container) == ["c"])
  }

  @Test func recordsAreReadBack() throws {
    let attachment = try attachment()
    #expect(Attachment(attachment.json) == attachment)
    #expect(AgentAnswer(AgentAnswer.attach(attachment).json) == .attach(attachment))
    #expect(attachment.id.device.utf8.count <= AttachmentID.interfaceLimit)
    #expect(AttachmentID("../x@eth0") == nil)
  }

  @Test func aChunkGivesEveryAddressOnce() throws {
    let chunk = try #require(IPPrefix("10.12.17.0/28"))
    var used: Set<IPAddress> = []
    for number in 0..<16 {
      let address = AddressChunk.address(in: chunk, for: "shop/\(number)", used: used)
      #expect(used.insert(try #require(address)).inserted)
    }
    #expect(AddressChunk.address(in: chunk, for: "late", used: used) == nil)
  }
}
