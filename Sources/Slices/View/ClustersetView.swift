internal import Base
internal import Replication

/// What this peer makes of the converged registers: the one thing that reconcilers act on.
///
/// Rebuilt a slice at a time. A section that is not valid is a problem and the last valid one stays
/// in force, as far as this process has seen it: after a restart an invalid section that has no
/// valid elder is left out, and what depends on it is held.
public struct ClustersetView: Sendable {
  public private(set) var clusters: [String: ClusterRecord] = [:]
  public private(set) var slices: [String: SliceView] = [:]
  /// Of cluster registers; slices have their own. Ascending.
  public private(set) var problems: [ViewProblem] = []

  private var drafts: [String: SliceDraft] = [:]

  public init() {}

  public init(_ source: some RegisterSource) {
    rebuild(from: source)
  }

  /// Slices that `cluster` takes part in, ascending by name.
  public func slices(of cluster: String) -> [SliceView] {
    slices.values.filter { $0.member(cluster) != nil }.sorted { $0.name < $1.name }
  }

  /// Clusters whose endpoints are to get no new flows.
  public var drained: Set<String> {
    Set(clusters.values.filter(\.admission.isDrained).map(\.name))
  }

  /// Reads everything again, keeping last valid sections.
  public mutating func rebuild(from source: some RegisterSource) {
    readClusters(from: source)
    let names = Set(CurrentSlice.names(in: source))
    drafts = Dictionary(
      names.map { ($0, SliceDraft($0, from: source, previous: drafts[$0])) },
      uniquingKeysWith: { a, _ in a })
    slices = [:]
    resolve(names)
  }

  /// Reads what changed. `paths` are the registers that were written, set or deleted.
  ///
  /// - Returns: the slices whose view changed.
  @discardableResult
  public mutating func update(
    paths: some Sequence<String>, from source: some RegisterSource
  ) -> ViewChange {
    var touched: Set<String> = []
    // Exports and endpoints, which change most, are read one by one.
    var exports: [String: Set<String>] = [:]
    var services: [String: Set<ServiceName>] = [:]
    var clustersTouched = false
    for text in paths {
      switch SlicePath(text) {
      case nil: continue
      case .cluster, .clusterInfo: clustersTouched = true
      case .export(let slice, _, let service), .exportShard(let slice, _, let service, _):
        exports[slice, default: []].insert(text)
        services[slice, default: []].insert(service)
      case .slice(let slice), .section(let slice, _), .member(let slice, _),
        .gateway(let slice, _, _):
        touched.insert(slice)
      }
    }
    for name in exports.keys where drafts[name] == nil { touched.insert(name) }
    for name in touched {
      exports[name] = nil
      services[name] = nil
    }
    for (name, paths) in exports { drafts[name]?.update(exports: paths, from: source) }
    if clustersTouched { readClusters(from: source) }
    var structureTouched = clustersTouched
    for name in touched {
      let draft =
        source.register(SlicePath.slice(name).text, in: .clusterset) == nil
        ? nil : SliceDraft(name, from: source, previous: drafts[name])
      structureTouched = structureTouched || draft?.structure != drafts[name]?.structure
      drafts[name] = draft
    }
    // Slices that share a cluster with a touched one may conflict with it now, or no longer; exports
    // and endpoints concern their own slice only.
    let whole = structureTouched ? touched.union(drafts.keys).union(slices.keys) : touched
    let before = slices.filter { whole.contains($0.key) }
    resolve(whole)
    for (name, services) in services where !whole.contains(name) {
      guard let draft = drafts[name] else { continue }
      slices[name, default: SliceView(name: name)].refresh(services, from: draft)
    }
    return ViewChange(
      slices: whole.filter { before[$0] != slices[$0] },
      services: services.filter { !whole.contains($0.key) })
  }

  private mutating func resolve(_ names: Set<String>) {
    let resolver = SliceResolver(clusters: clusters, drafts: drafts)
    for name in names { slices[name] = drafts[name] == nil ? nil : resolver.view(of: name) }
  }

  private mutating func readClusters(from source: some RegisterSource) {
    var records: [String: ClusterRecord] = [:]
    var found: [ViewProblem] = []
    for path in source.paths(withPrefix: "cluster/", in: .clusterset) {
      guard case .cluster(let name) = SlicePath(path), let value = source.value(path) else {
        continue
      }
      var record = clusters[name] ?? ClusterRecord(name: name)
      do {
        record.admission = try ClusterAdmission(value)
      } catch {
        found.append(ViewProblem(path: path, error))
      }
      let infoPath = SlicePath.clusterInfo(name).text
      if let value = source.value(infoPath) {
        do {
          record.info = try ClusterInfo(value)
        } catch {
          found.append(ViewProblem(path: infoPath, error))
        }
      } else {
        record.info = nil
      }
      records[name] = record
    }
    clusters = records
    problems = found.sorted()
  }
}

/// What an update of the view may have changed.
public struct ViewChange: Hashable, Sendable {
  /// Slices that came, went or changed in any way.
  public var slices: Set<String>
  /// In other slices, the services that were put together again; nothing else of these slices changed
  /// but their aliases and problems.
  public var services: [String: Set<ServiceName>]

  public init(slices: Set<String> = [], services: [String: Set<ServiceName>] = [:]) {
    self.slices = slices
    self.services = services
  }
}

extension SliceView {
  fileprivate mutating func refresh(_ services: Set<ServiceName>, from draft: SliceDraft) {
    SliceResolver.refresh(services, of: draft, in: &self)
  }
}

extension ViewProblem {
  init(path: String, _ error: ManifestError) {
    let reasons = error.errors.prefix(4).map(\.description).joined(separator: "; ")
    self.init(path: path, reason: .invalidSection, message: reasons)
  }
}
