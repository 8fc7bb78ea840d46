public import Base
public import Slices

/// The names of one slice as this cluster answers them now. Immutable, so that no query ever waits for
/// a change; what comes next is made from it at the cost of what changed.
public final class SliceNames: Sendable {
  public let slice: String
  /// Seconds.
  public let ttl: UInt32
  /// Where PTR names live; `nil` with overlay `none`.
  public let cidr: IPPrefix?
  private let services: [ServiceName: ServiceNames]
  private let aliases: Set<ServiceAlias>
  private let pages: NamePages
  /// Whose an address is, ascending: a workload may stand behind several services.
  private let holders: [IPAddress: [ServiceName]]

  /// - Parameters:
  ///   - old: of the same slice, of which nothing changed but services; `nil`: all is made anew.
  ///   - changed: what is not as it was in `old`: of the services themselves or in the sources.
  public init(
    _ view: SliceView, _ sources: NameSources, keeping old: SliceNames? = nil,
    but changed: Set<ServiceName> = []
  ) {
    slice = view.name
    ttl = UInt32(clamping: view.dns.ttl.milliseconds / 1000)
    cidr = view.network?.cidr
    aliases = Set(view.aliases)
    var touched = changed
    if let old {
      touched.formUnion(aliases.symmetricDifference(old.aliases).map(\.service))
    } else {
      touched = Set(view.services.map(\.service))
    }
    let aliasNames = Dictionary(grouping: view.aliases, by: \.service)
    var services = old?.services ?? [:]
    var pages = old?.pages ?? NamePages()
    var holders = old?.holders ?? [:]
    for name in touched.sorted() {
      let before = services[name] ?? .none
      let after = view.service(name).map { service in
        ServiceNames(
          service, aliases: (aliasNames[name] ?? []).map(\.name), in: view, sources)
      }
      pages.replace(before, by: after ?? .none, of: name)
      for address in before.reverse.keys where after?.reverse[address] == nil {
        holders[address]?.remove(sorted: name)
        if holders[address]?.isEmpty == true { holders[address] = nil }
      }
      for address in after?.reverse.keys.map({ $0 }) ?? [] where before.reverse[address] == nil {
        holders[address, default: []].insert(sorted: name)
      }
      services[name] = after
    }
    pages.lay(services)
    self.services = services
    self.pages = pages
    self.holders = holders
  }

  /// Where names of this hash are.
  @inline(__always)
  func table(of hash: UInt64) -> NameTable { pages.table(of: hash) }

  /// The relative name of an address, in wire form without the root.
  func name(of address: IPAddress) -> [UInt8]? {
    holders[address]?.first.flatMap { services[$0]?.reverse[address] }
  }
}
