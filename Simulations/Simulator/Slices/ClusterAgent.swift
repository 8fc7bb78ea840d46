internal import Base
internal import Kubernetes
internal import Membership
internal import Naming
internal import Peer
internal import Replication
internal import Slices

/// What runs beside the peer of a cluster: the reconcilers that act on the peer's view alone, for the
/// services that an API server has exported, and the DNS server.
final class ClusterAgent {
  let cluster: String
  private(set) var view = ClustersetView()
  private(set) var names: NamingTable?
  private let number: UInt32
  private let endpoint: IPEndpoint
  /// On the cluster's disk: the same endpoint gets the same address after a restart.
  private var allocators: [String: AddressAllocator] = [:]
  private var reconciler = DNSReconciler()
  /// Of the view, since names were made; `nil`: everything may be.
  private var change: ViewChange?

  /// The slices of a rehearsal, with the namespace that takes part in each.
  static let slices = [("blue", "shop"), ("green", "lab")]

  init(cluster: String, number: Int) {
    self.cluster = cluster
    self.number = UInt32(truncatingIfNeeded: number & 0xff)
    endpoint = IPEndpoint(IPAddress(v4: 0xc0a8_0001 | self.number << 8), port: 7_900)
  }

  /// The export of a slice's service, as the API server calls it.
  static func key(_ slice: (String, String)) -> ObjectKey {
    ObjectKey(namespace: slice.1, name: slice.0)
  }

  /// Services with so many endpoints; `nil` where one is not known yet: then nothing is said of any.
  private func services(_ endpoints: (ObjectKey) -> Int?) -> LocalServices? {
    var services: [LocalService] = []
    for (index, slice) in Self.slices.enumerated() {
      guard let count = endpoints(Self.key(slice)) else { return nil }
      guard count > 0 else { continue }
      services.append(
        LocalService(
          service: ServiceName(namespace: slice.1, name: slice.0), ports: [],
          endpoints: (1...count).map {
            .init(
              address: IPAddress(
                v4: 0xc0a9_0000 | number << 8 | UInt32(truncatingIfNeeded: 16 * index + $0)))
          },
          export: .init(slice: slice.0, headless: true)))
    }
    return LocalServices(services: services)
  }

  /// Reads all registers again, as after a start.
  func rebuild(from state: ReplicatedState) {
    view = ClustersetView(StateRegisters(state: state))
    change = nil
  }

  /// Whether following every change came to what reading all at once comes to.
  func hasFollowed(_ state: ReplicatedState) -> Bool {
    let other = ClustersetView(StateRegisters(state: state))
    return view.slices == other.slices && view.clusters == other.clusters
  }

  func update(_ paths: [String], from state: ReplicatedState) {
    let more = view.update(paths: paths, from: StateRegisters(state: state))
    change?.slices.formUnion(more.slices)
    change?.services.merge(more.services) { $0.union($1) }
  }

  /// What this cluster has to say in its slices now.
  ///
  /// - Parameter endpoints: of each exported service; `nil` while that is not known.
  func publications(
    _ state: ReplicatedState, endpoints: (ObjectKey) -> Int?, now: Now
  ) -> [LocalRegister] {
    var writes: [RegisterWrite] = []
    if let local = services(endpoints) {
      writes =
        ServiceExportReconciler.plan(
          view, cluster: cluster, local: local, allocators: &allocators,
          observed: StateRegisters(state: state), now: now.wallMilliseconds
        ).writes
    }
    for slice in view.slices(of: cluster) {
      let gateway = GatewayReconciler.publication(
        slice, cluster: cluster, endpoints: [endpoint], key: [UInt8](repeating: 7, count: 32),
        now: now.wallMilliseconds)
      if let gateway { writes.append(gateway) }
    }
    return writes.map { LocalRegister(scope: $0.scope, path: $0.path, value: $0.value) }
  }

  /// - Parameter isPresent: whether a cluster answers. Membership stands in for the tunnels' probes,
  ///   which notice more, and sooner.
  func name(_ zones: [String], isPresent: (String) -> Bool) {
    var reachability = Reachability(local: cluster, drained: view.drained)
    for slice in view.slices(of: cluster) {
      for member in slice.members where member.cluster != cluster && isPresent(member.cluster) {
        reachability.reachable.insert(member.cluster)
      }
    }
    let sources = view.slices.mapValues { _ in NameSources(reachability: reachability) }
    names = reconciler.table(
      view, change,
      .init(
        cluster: cluster, zones: zones, sources: sources,
        clients: ClientViews(others: Set(Self.slices.map(\.0)))))
    change = ViewChange()
  }

  /// Addresses that the DNS server answers for a slice's service, as text; `nil`: no answer at all.
  func answers(_ slice: String) -> Set<String>? {
    guard let names, let namespace = Self.slices.first(where: { $0.0 == slice })?.1,
      let name = DomainName("\(slice).\(namespace).svc.slice.local")
    else { return nil }
    let query = DNSMessage(id: 1, questions: [.init(name: name, type: RecordType.a)], edns: nil)
    let client = IPAddress(v4: 0x7f00_0001)
    guard
      let reply = try? DNSMessage(Resolver(names).answer(query.encoded(), from: client, over: .tcp))
    else { return nil }
    return Set(
      reply.answers.compactMap {
        if case .address(let address) = $0.data { "\(address)" } else { nil }
      }
    )
  }
}
