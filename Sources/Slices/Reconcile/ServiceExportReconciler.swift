public import Base
internal import Replication

/// Makes the registers of this cluster's exports what its local services say.
public enum ServiceExportReconciler {
  /// What to write, and the translation that the node has to do.
  public struct Plan: Hashable, Sendable {
    /// In slice scopes, ascending by path.
    public var writes: [RegisterWrite] = []
    /// All exported endpoints, also where nothing has to be written. Ascending by address.
    public var endpoints: [ExportedEndpoint] = []
    /// Services that ask to be exported and are not, and why. In the order of the file.
    public var refusals: [Refusal] = []
  }

  public struct Refusal: Hashable, Sendable {
    public var service: ServiceName
    public var reason: String
  }

  /// - Parameters:
  ///   - allocators: by slice; those of slices that this cluster has a block in are made where they
  ///     are missing and lose the endpoints that are gone. To be persisted before `writes` are sent.
  ///   - source: the registers as they are: what is the same is not written again, and a shard keeps
  ///     its endpoints, so that one changed endpoint costs one shard.
  ///   - services: compare only these, of which `local` has all that exist; `nil`: all.
  public static func plan(
    _ view: ClustersetView, cluster: String, local: LocalServices,
    only services: Set<ServiceName>? = nil,
    allocators: inout [String: AddressAllocator], observed source: some RegisterSource,
    now milliseconds: UInt64
  ) -> Plan {
    var plan = Plan()
    let slices = view.slices(of: cluster).filter { $0.isActive(cluster) }
    prepare(&allocators, slices, cluster, local, services)
    var desired: [String: [ServiceExport]] = [:]
    for service in local.services {
      guard let wanted = service.export else { continue }
      guard let slice = slices.first(where: { $0.name == wanted.slice }),
        let member = slice.member(cluster)
      else {
        plan.refuse(service, "\(cluster) is no active member of slice \(wanted.slice)")
        continue
      }
      guard member.includes(namespace: service.service.namespace) else {
        plan.refuse(
          service, "namespace \(service.service.namespace) takes no part in slice \(wanted.slice)")
        continue
      }
      desired[slice.name, default: []].append(
        export(service, wanted, slice, cluster, &allocators[slice.name], &plan))
    }
    for slice in slices {
      var writer = ExportWriter(slice: slice.name, cluster: cluster, source: source)
      writer.write(desired[slice.name] ?? [], only: services, now: milliseconds)
      plan.writes += writer.writes
    }
    plan.writes.sort { ($0.scope, $0.path) < ($1.scope, $1.path) }
    plan.endpoints.sort { ($0.slice, $0.address) < ($1.slice, $1.address) }
    return plan
  }

  private static func prepare(
    _ allocators: inout [String: AddressAllocator], _ slices: [SliceView], _ cluster: String,
    _ local: LocalServices, _ services: Set<ServiceName>?
  ) {
    for slice in slices {
      guard let whole = slice.member(cluster)?.block else { continue }
      let block = PodChunks.allotted(of: whole, overlay: slice.network?.overlay)
      var allocator = allocators[slice.name] ?? AddressAllocator(block: block)
      if allocator.block != block { allocator = AddressAllocator(block: block) }
      var keys: Set<AddressAllocator.Key> = []
      for service in local.services where service.export?.slice == slice.name {
        for endpoint in service.endpoints {
          keys.insert(.endpoint(service.service, endpoint.name))
        }
      }
      allocator.releaseEndpoints(of: services, except: keys)
      allocators[slice.name] = allocator
    }
  }

  private static func export(
    _ service: LocalService, _ wanted: LocalService.Export, _ slice: SliceView, _ cluster: String,
    _ allocator: inout AddressAllocator?, _ plan: inout Plan
  ) -> ServiceExport {
    var export = ServiceExport(
      cluster: cluster, service: service.service,
      type: wanted.headless ? .headless : .clusterSetIP, ports: service.ports,
      createdMilliseconds: wanted.traits.createdMilliseconds ?? 0, aliases: wanted.aliases,
      sessionAffinity: wanted.traits.sessionAffinity, affinity: wanted.affinity,
      internalTrafficPolicy: wanted.traits.internalTrafficPolicy,
      trafficDistribution: wanted.traits.trafficDistribution,
      ipFamilies: wanted.traits.ipFamilies, labels: wanted.traits.labels,
      annotations: wanted.traits.annotations)
    var unplaced = 0
    for endpoint in service.endpoints {
      // Without an overlay the real address is the one that others use.
      let address =
        slice.network?.overlay == SliceOverlay.none
        ? endpoint.address
        : allocator?.address(for: .endpoint(service.service, endpoint.name))
      guard let address else {
        unplaced += 1
        continue
      }
      export.endpoints.append(
        ServiceEndpoint(
          address: address, hostname: endpoint.hostname, node: endpoint.node,
          ready: endpoint.ready))
      guard slice.network?.overlay != SliceOverlay.none else { continue }
      if address.family == endpoint.address.family {
        plan.endpoints.append(
          ExportedEndpoint(
            slice: slice.name, service: service.service, address: address,
            target: endpoint.address, ports: service.ports))
      } else {
        plan.refuse(service, "\(endpoint.address) is not of the family of slice \(slice.name)")
      }
    }
    if unplaced > 0 { plan.refuse(service, "\(unplaced) endpoints found no address in the block") }
    return export
  }
}

extension ServiceExportReconciler.Plan {
  fileprivate mutating func refuse(_ service: LocalService, _ reason: String) {
    refusals.append(.init(service: service.service, reason: reason))
  }
}

/// An endpoint under its slice address and under its real one.
public struct ExportedEndpoint: Hashable, Sendable {
  public var slice: String
  public var service: ServiceName
  /// In the cluster's block.
  public var address: IPAddress
  /// Where it really is; of the same family.
  public var target: IPAddress
  /// What may be reached there.
  public var ports: [ServicePort]

  public init(
    slice: String, service: ServiceName, address: IPAddress, target: IPAddress,
    ports: [ServicePort]
  ) {
    self.slice = slice
    self.service = service
    self.address = address
    self.target = target
    self.ports = ports
  }
}

/// Compares one cluster's exports of one slice with their registers.
private struct ExportWriter<Source: RegisterSource> {
  let slice: String
  let cluster: String
  let source: Source
  var writes: [RegisterWrite] = []
  private var scope: Scope { .slice(slice) }

  init(slice: String, cluster: String, source: Source) {
    self.slice = slice
    self.cluster = cluster
    self.source = source
  }

  mutating func write(_ exports: [ServiceExport], only services: Set<ServiceName>?, now: UInt64) {
    var wanted: Set<String> = []
    for var export in exports {
      let path = SlicePath.export(slice: slice, cluster: cluster, service: export.service).text
      let old = source.value(path, in: scope)
      // The age of an export decides conflicts, so it stays what it was where nobody knows it.
      if export.createdMilliseconds == 0 {
        export.createdMilliseconds =
          old?["created"]?.integer.flatMap { UInt64(exactly: $0) } ?? now
      }
      put(path, old, export.value)
      wanted.insert(path)
      writeShards(of: export, &wanted)
    }
    for path in present(services) where !wanted.contains(path) {
      writes.append(RegisterWrite(scope: scope, path: path, value: nil))
    }
  }

  /// Registers of exports and their shards that exist.
  private func present(_ services: Set<ServiceName>?) -> [String] {
    guard let services else {
      return source.paths(withPrefix: "slice/\(slice)/export/\(cluster)/", in: scope)
    }
    return services.sorted().flatMap { service in
      let path = SlicePath.export(slice: slice, cluster: cluster, service: service).text
      let own = source.register(path, in: scope) == nil ? [] : [path]
      return own + source.paths(withPrefix: path + "/", in: scope)
    }
  }

  private mutating func put(_ path: String, _ old: Value?, _ new: Value) {
    if old != new { writes.append(RegisterWrite(scope: scope, path: path, value: new)) }
  }

  private func shardPath(_ service: ServiceName, _ shard: Int) -> String {
    SlicePath.exportShard(slice: slice, cluster: cluster, service: service, shard: shard).text
  }

  /// Endpoints stay in their shard; new ones fill the first with room.
  private mutating func writeShards(of export: ServiceExport, _ wanted: inout Set<String>) {
    var home: [IPAddress: Int] = [:]
    var olds: [Int: Value] = [:]
    let prefix =
      SlicePath.export(slice: slice, cluster: cluster, service: export.service).text + "/"
    for path in source.paths(withPrefix: prefix, in: scope) {
      guard case .exportShard(_, _, _, let shard) = SlicePath(path),
        let value = source.value(path, in: scope)
      else { continue }
      olds[shard] = value
      for endpoint in (try? ExportShard(value))?.endpoints ?? [] { home[endpoint.address] = shard }
    }
    var shards: [Int: [ServiceEndpoint]] = [:]
    var homeless: [ServiceEndpoint] = []
    for endpoint in export.endpoints.sorted(by: { $0.address < $1.address }) {
      if let shard = home[endpoint.address] {
        shards[shard, default: []].append(endpoint)
      } else {
        homeless.append(endpoint)
      }
    }
    var shard = 0
    for endpoint in homeless {
      while shards[shard]?.count ?? 0 >= ServiceExport.endpointsPerNewShard { shard += 1 }
      shards[shard, default: []].append(endpoint)
    }
    for (shard, endpoints) in shards.sorted(by: { $0.key < $1.key }) {
      let path = shardPath(export.service, shard)
      let ordered = endpoints.sorted { $0.address < $1.address }
      put(path, olds[shard], ExportShard(endpoints: ordered).value)
      wanted.insert(path)
    }
  }
}
