public import Base

/// What the gateways' feeds said last, and what of it counts.
///
/// Who speaks counts; where nobody speaks the last words stand. A feed that died, or an API server that
/// is away, says nothing about tunnels, so it withdraws nothing; but beside a gateway that still speaks,
/// one that fell silent does not keep a cluster in that was cut off.
public struct TunnelReports: Sendable {
  private struct Entry: Sendable {
    var report: SliceGatewayReport
    /// When it last said something new, on the local clock.
    var heard: Instant
  }

  /// How often feeds write at least, and when one counts as silent.
  public static let interval: Duration = .seconds(15)
  public static let silence: Duration = .seconds(50)

  private var entries: [ObjectKey: Entry] = [:]

  public init() {}

  /// - Parameter changed: since the last time; `nil`: all may have.
  public mutating func update(_ objects: ClusterObjects, changed: Set<ObjectID>?, now: Instant) {
    let keys =
      changed.map { $0.filter { $0.type == .sliceGateways }.map(\.key) }
      ?? Array(Set(entries.keys).union(objects[.sliceGateways]?.keys ?? []))
    for key in keys {
      guard let object = objects[ObjectID(.sliceGateways, key)],
        let report = SliceGatewayReport(object)
      else {
        entries[key] = nil
        continue
      }
      if entries[key]?.report != report { entries[key] = Entry(report: report, heard: now) }
    }
  }

  /// Ascending by slice and gateway.
  public var all: [SliceGatewayReport] {
    entries.values.map(\.report).sorted { ($0.slice, $0.gateway) < ($1.slice, $1.gateway) }
  }

  public func isSilent(_ report: SliceGatewayReport, now: Instant) -> Bool {
    entries.values.contains { $0.report == report && now - $0.heard >= Self.silence }
  }

  /// Clusters that a tunnel of the slice leads to; `nil` where no gateway has said anything: then
  /// membership decides.
  ///
  /// - Parameter pods: living gateways' Pods; what another one said is over. `nil`: not known.
  public func reachable(_ slice: String, pods: Set<String>?, now: Instant) -> Set<String>? {
    let told = entries.values.filter { $0.report.slice == slice }
    guard !told.isEmpty else { return nil }
    let living = told.filter { pods?.contains($0.report.pod) ?? true }
    // A new Pod that has not spoken yet; without any Pod there is no tunnel.
    if living.isEmpty { return pods?.isEmpty == true ? [] : nil }
    let speaking = living.filter { now - $0.heard < Self.silence }
    return (speaking.isEmpty ? living : speaking).reduce(into: []) {
      $0.formUnion($1.report.reachable)
    }
  }
}
