public import Base

/// A service of a slice, put together from its exports by the rules of KEP-1645.
public struct ServiceImport: Hashable, Sendable {
  public var service: ServiceName
  public var type: ServiceType
  /// The union of all exports' ports; of two that clash the oldest export's. In the order of the
  /// exports' age, then as listed.
  public var ports: [ServicePort]
  public var sessionAffinity: SessionAffinity
  public var affinity: EndpointAffinity?
  public var internalTrafficPolicy: String
  public var trafficDistribution: String
  public var ipFamilies: [IPAddress.Family]
  public var labels: [String: String]
  public var annotations: [String: String]
  /// The union of all exports' aliases, ascending.
  public var aliases: [String]
  /// Oldest first (tie: the smaller cluster name); the first one wins conflicts.
  public var exports: [ServiceExport]
  /// In the order of the API's reasons; shown on every export of the service.
  public var conflicts: [ExportConflict]

  /// Clusters that export it, ascending.
  public var clusters: [String] { exports.map(\.cluster).sorted() }

  public func export(of cluster: String) -> ServiceExport? {
    exports.first { $0.cluster == cluster }
  }

  /// `nil` where there is no export.
  public init?(merging exports: [ServiceExport]) {
    let exports = exports.sorted {
      $0.createdMilliseconds == $1.createdMilliseconds
        ? $0.cluster < $1.cluster : $0.createdMilliseconds < $1.createdMilliseconds
    }
    guard let oldest = exports.first else { return nil }
    service = oldest.service
    type = oldest.type
    sessionAffinity = oldest.sessionAffinity
    affinity = oldest.affinity
    internalTrafficPolicy = oldest.internalTrafficPolicy
    trafficDistribution = oldest.trafficDistribution
    ipFamilies = oldest.ipFamilies
    labels = oldest.labels
    annotations = oldest.annotations
    aliases = Set(exports.flatMap(\.aliases)).sorted()
    ports = Self.union(of: exports)
    // A service that is headless in one cluster only has an address in all of them: what can be
    // reached by it everywhere is the safer reading, and what the conformance suite asks.
    if exports.contains(where: { $0.type == .clusterSetIP }) { type = .clusterSetIP }
    self.exports = exports
    conflicts = ExportConflict.find(in: exports)
  }

  private static func union(of exports: [ServiceExport]) -> [ServicePort] {
    var out: [ServicePort] = []
    for port in exports.flatMap(\.ports) {
      let clashes = out.contains { have in
        (!port.name.isEmpty && have.name == port.name)
          || (have.port == port.port && have.transport == port.transport)
      }
      if !clashes { out.append(port) }
    }
    return out
  }

  /// Of exports in any order; ascending by service.
  static func all(merging exports: [ServiceExport]) -> [ServiceImport] {
    Dictionary(grouping: exports, by: \.service).values
      .compactMap { ServiceImport(merging: $0) }
      .sorted { $0.service < $1.service }
  }
}

/// Why exports of one service do not agree, with the reason's name in the MCS API.
public struct ExportConflict: Hashable, Sendable {
  public enum Reason: String, CaseIterable, Hashable, Sendable {
    case port = "PortConflict"
    case type = "TypeConflict"
    case sessionAffinity = "SessionAffinityConflict"
    case sessionAffinityConfig = "SessionAffinityConfigConflict"
    case annotations = "AnnotationsConflict"
    case labels = "LabelsConflict"
    case internalTrafficPolicy = "InternalTrafficPolicyConflict"
    case trafficDistribution = "TrafficDistributionConflict"
    case ipFamily = "IPFamilyConflict"
  }

  public static let noConflicts = "NoConflicts"

  public var reason: Reason
  /// Whose value is in force.
  public var winner: String
  /// Clusters that differ from it, ascending.
  public var losers: [String]

  /// The condition's reason for a list of conflicts.
  public static func conditionReason(_ conflicts: [ExportConflict]) -> String {
    conflicts.isEmpty ? noConflicts : conflicts.map(\.reason.rawValue).joined(separator: ",")
  }

  static func find(in exports: [ServiceExport]) -> [ExportConflict] {
    guard let oldest = exports.first else { return [] }
    return Reason.allCases.compactMap { reason in
      let losers = exports.dropFirst().filter { differs($0, from: oldest, by: reason) }
      let names = losers.map(\.cluster).sorted()
      return names.isEmpty
        ? nil : ExportConflict(reason: reason, winner: oldest.cluster, losers: names)
    }
  }

  private static func differs(
    _ a: ServiceExport, from b: ServiceExport, by reason: Reason
  ) -> Bool {
    switch reason {
    case .port: Set(a.ports.map(\.face)) != Set(b.ports.map(\.face))
    case .type: a.type != b.type
    case .sessionAffinity: a.sessionAffinity.name != b.sessionAffinity.name
    case .sessionAffinityConfig:
      a.sessionAffinity.name == b.sessionAffinity.name && a.sessionAffinity != b.sessionAffinity
    case .annotations: a.annotations != b.annotations
    case .labels: a.labels != b.labels
    case .internalTrafficPolicy: a.internalTrafficPolicy != b.internalTrafficPolicy
    case .trafficDistribution: a.trafficDistribution != b.trafficDistribution
    case .ipFamily: a.ipFamilies != b.ipFamilies
    }
  }
}
