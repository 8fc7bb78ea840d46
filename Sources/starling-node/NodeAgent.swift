import Base
import Glibc
import Kubernetes
import NodeHost
import Nodes

/// The agent of one node: one thread, level-triggered. Whatever changes (the document, Pods, gateways
/// that answer or stop to, somebody else's hand in the kernel) makes one more pass.
struct NodeAgent: ~Copyable {
  private let options: NodeOptions
  private let records: AttachmentFolder
  private var kernel: NodeKernel?
  private var document: NodeDocument?
  private var documentStamp: [Int] = []
  /// Of the document's folder.
  private var watch: FolderWatch?
  private var recordStamp: [Int] = []
  private var probes = GatewayProbes()
  private var dead: [String: Set<IPAddress>] = [:]
  private var mtu: [String: Int] = [:]
  /// Slices that cannot be served here, and why.
  private var unserved: [String: String] = [:]
  private var isDirty = true
  private var ticks = 0
  /// Why the document, and what it says, is not in force.
  private var refusal = ""
  private var lastProblem = ""
  /// What the file beside the document says.
  private var reported: NodeStatus?

  /// Passes come at least this often: what others changed is put back.
  static let ticksPerCheck = 16
  /// A record whose link does not exist belongs to a Pod that is gone, unless it is just being made.
  static let graceSeconds = 120

  init(_ options: NodeOptions) {
    self.options = options
    records = AttachmentFolder(options.stateFolder)
  }

  mutating func run() throws {
    let listener = try AgentListener.listening(on: options.socket)
    let folder = options.document.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" }
    watch = try? FolderWatch(folder)
    while true {
      readDocument()
      lookAtRecords()
      try tick(listener)
      ticks += 1
      if ticks % Self.ticksPerCheck == 0 { isDirty = true }
      if isDirty { pass() }
      report()
    }
  }

  /// Says in the file beside the document how the agent fares, when that changes, and that it is there.
  private mutating func report() {
    let path = NodeStatus.path(forDocument: options.document)
    let status = NodeStatus(problem: refusal.isEmpty ? lastProblem : refusal, unserved: unserved)
    let isNew = status != reported
    guard isNew || ticks % Self.ticksPerCheck == 0 else { return }
    do {
      if isNew {
        try Files.replace(path, with: status.json.bytes)
      } else {
        try Files.touch(path)
      }
      reported = status
    } catch {
      if reported != nil { say("\(error)") }
      reported = nil
    }
  }

  private func say(_ text: String) {
    try? Files.write(Array("starling-node: \(text)\n".utf8), to: STDERR_FILENO, "stderr")
  }

  private mutating func readDocument() {
    let stamp = Files.stamp(options.document)
    guard stamp != documentStamp else { return }
    documentStamp = stamp
    do {
      let next = try NodeDocument(try JSON(parsing: try Files.read(options.document)))
      document = next
      refusal = ""
      if kernel?.role != next.role { kernel = NodeKernel(role: next.role, options: options) }
      isDirty = true
    } catch {
      refusal = "\(options.document): \(error); what is in force stays"
      say(refusal)
    }
  }

  private mutating func lookAtRecords() {
    let stamp = Files.stamp(records.path)
    if stamp != recordStamp { isDirty = true }
    recordStamp = stamp
  }

  // MARK: Probes and callers

  /// Asks every gateway, then answers callers until it is time to ask again.
  private mutating func tick(_ listener: borrowing AgentListener) throws {
    let sockets = document?.role == .node ? try? openSockets() : nil
    if let sockets {
      for key in probes.ask() { sockets[key.gateway.family]?.socket.ask(key.gateway) }
    }
    let end = Self.milliseconds + GatewayProbes.intervalMilliseconds
    while true {
      let left = end - Self.milliseconds
      guard left > 0 else { break }
      var files = [listener.number, watch?.number ?? -1].map {
        pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
      }
      guard poll(&files, nfds_t(files.count), Int32(left)) > 0 else { continue }
      if files[0].revents != 0 { listener.serve { answer($0) } }
      if files[1].revents != 0 {
        watch?.drain()
        readDocument()
        if isDirty { pass() }
      }
    }
    guard let sockets, let document else { return }
    let answers = Set(sockets.values.flatMap { $0.socket.answers() })
    for slice in document.slices {
      for gateway in slice.gateways where answers.contains(gateway.address) {
        probes.answered(.init(slice: slice.name, gateway: gateway.address))
      }
    }
    if probes.dead != dead {
      dead = probes.dead
      say("gateways that do not answer: \(dead.values.flatMap { $0 }.sorted())")
      isDirty = true
    }
  }

  private final class Echo {
    let socket: EchoSocket
    init(_ family: IPAddress.Family) throws(SystemError) { socket = try EchoSocket(family) }
  }

  private var sockets: [IPAddress.Family: Echo]?

  /// Without IPv6 in the kernel there is no socket for it.
  private mutating func openSockets() throws -> [IPAddress.Family: Echo] {
    if let sockets { return sockets }
    guard let kernel else { throw SystemError("no document yet", ENOENT) }
    let families: [IPAddress.Family] = NetworkSetting.hasIPv6 ? [.v4, .v6] : [.v4]
    let made = try kernel.inside { try families.map { ($0, try Echo($0)) } }
    let sockets = Dictionary(uniqueKeysWithValues: made)
    self.sockets = sockets
    return sockets
  }

  private static var milliseconds: Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
  }

  /// Decides, writes the decision down, and lets the Pod's packets pass, in that order.
  private mutating func answer(_ request: AgentRequest) -> AgentAnswer {
    readDocument()
    guard let document else { return .later("the agent has no document yet") }
    guard
      let slice = document.slices.first(where: {
        $0.overlay == .pod && $0.namespaces.contains(request.namespace)
      })
    else { return .pass("the namespace is in no slice of overlay pod") }
    let pod = "\(request.namespace)/\(request.pod)"
    if slice.optedOut.contains(pod) { return .pass("the Pod opted out") }
    if let why = unserved[slice.name] { return .later("\(slice.name) is not served here: \(why)") }
    do {
      let known = try records.all()
      if let old = known.first(where: { $0.id == request.id }), old.slice == slice.name,
        old.cidr == slice.cidr
      {
        return .attach(old)
      }
      guard !known.contains(where: { $0.id.device == request.id.device && $0.id != request.id })
      else { return .later("another link has the name \(request.id.device)") }
      guard let chunk = slice.chunk,
        let address = AddressChunk.address(
          in: chunk, for: pod, used: Set(known.map(\.address)).union([slice.nodeAddress]))
      else { return .later("this node has no free address in \(slice.name)") }
      let attachment = Attachment(
        id: request.id, network: request.network, namespace: request.namespace, pod: request.pod,
        slice: slice.name, address: address, cidr: slice.cidr,
        mtu: mtu[slice.name] ?? slice.tunnelMTU)
      try records.write(attachment)
      pass()
      return .attach(attachment)
    } catch {
      return .later("\(error)")
    }
  }

  // MARK: A pass

  private mutating func pass() {
    guard let document, var kernel else { return }
    isDirty = false
    do {
      let attachments = try records.all()
      let addresses = try kernel.addresses()
      let plan = NodePlan(
        document, nodeMTU: KernelReader.mtu(of: document.underlay, addresses) ?? 1500,
        own: KernelReader.ownAddresses(addresses), withoutIPv6: kernel.missingIPv6, dead: dead,
        attachments: attachments)
      mtu = plan.mtu
      note(plan.unserved)
      try kernel.prepare(plan)
      try kernel.load(plan.rules, table: "starling", isInside: true)
      if document.role == .node {
        try kernel.load(plan.hostRules, table: "starling-node", isInside: false)
      }
      try kernel.apply(plan)
      if document.role == .node {
        try tell(document)
        try reap(attachments, kernel)
        try chainPlugin()
        probes.expect(
          document.slices.filter { plan.unserved[$0.name] == nil }.flatMap { slice in
            slice.gateways.map { .init(slice: slice.name, gateway: $0.address) }
          })
      }
      lastProblem = ""
    } catch {
      let problem = "\(error)"
      if problem != lastProblem { say(problem) }
      lastProblem = problem
      // The next check tries again.
    }
    self.kernel = kernel
  }

  /// Says once of each slice why it is not served, and that it is again.
  private mutating func note(_ now: [String: String]) {
    for (slice, why) in now.sorted(by: { $0.key < $1.key }) where unserved[slice] != why {
      say("slice \(slice) is not served: \(why)")
    }
    for slice in unserved.keys.sorted() where now[slice] == nil {
      say("slice \(slice) is not held up any more")
    }
    unserved = now
  }

  /// For the plugin, while the agent is away.
  private func tell(_ document: NodeDocument) throws {
    var namespaces = PodNamespaces()
    for slice in document.slices where slice.overlay == .pod {
      for namespace in slice.namespaces { namespaces.slices[namespace] = slice.name }
    }
    let path = "\(options.stateFolder)/\(PodNamespaces.fileName)"
    let bytes = namespaces.json.bytes
    if (try? Files.read(path)) == bytes { return }
    try Files.makeFolder(options.stateFolder)
    try Files.replace(path, with: bytes)
  }

  /// Runtimes before 1.1 call no GC. A record is there before its link, so a link without a record
  /// is always a leak.
  private func reap(_ attachments: [Attachment], _ kernel: NodeKernel) throws {
    let devices = Set(try kernel.podDevices())
    for device in devices.subtracting(try records.all().map(\.id.device)).sorted() {
      try kernel.drop(device)
    }
    for attachment in attachments where !devices.contains(attachment.id.device) {
      if (records.age(attachment.id) ?? 0) > Self.graceSeconds {
        try records.remove(attachment.id)
      }
    }
  }

  /// Puts the plugin back where an upgrade or another plugin dropped it.
  private func chainPlugin() throws {
    guard !options.cniFolder.isEmpty else { return }
    // Runtimes take the first file.
    let names = try Files.names(in: options.cniFolder).filter { name in
      [".conf", ".conflist", ".json"].contains { name.hasSuffix($0) }
    }
    guard let first = names.first, first.hasSuffix(".conflist") else { return }
    let path = "\(options.cniFolder)/\(first)"
    let list = try JSON(parsing: try Files.read(path))
    if let chained = PluginChain.adding(
      to: list, agentSocket: options.socket, stateFolder: options.stateFolder)
    {
      try Files.replace(path, with: chained.bytes + [0x0a], mode: 0o644)
      say("\(PluginChain.plugin) is in \(path) now")
    }
  }

  /// Takes away everything that was made here.
  mutating func remove() throws {
    if !options.cniFolder.isEmpty {
      for name in try Files.names(in: options.cniFolder) where name.hasSuffix(".conflist") {
        let path = "\(options.cniFolder)/\(name)"
        let list = try JSON(parsing: try Files.read(path))
        if let without = PluginChain.removing(from: list) {
          try Files.replace(path, with: without.bytes + [0x0a], mode: 0o644)
        }
      }
    }
    try Files.remove("\(options.stateFolder)/\(PodNamespaces.fileName)")
    try Files.remove(NodeStatus.path(forDocument: options.document))
    for attachment in try records.all() { try records.remove(attachment.id) }
    NodeKernel(role: .node, options: options).remove()
  }
}
