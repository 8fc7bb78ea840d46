public import Slices

/// The conditions of this cluster's ServiceExports, with the reasons that the API names.
public enum ExportStatus {
  /// - Parameters:
  ///   - refusals: by service, what kept it from being published.
  public static func desired(
    _ findings: [ExportReader.Finding], _ view: ClustersetView, _ objects: ClusterObjects,
    cluster: String, exports: ResourceType = .serviceExports,
    refusals: [ServiceName: String] = [:], now milliseconds: UInt64
  ) -> [DesiredObject] {
    findings.compactMap { finding in
      guard let object = objects[ObjectID(exports, finding.export)] else { return nil }
      let service = ServiceName(namespace: finding.export.namespace, name: finding.export.name)
      let found = finding.slice.flatMap { view.slices[$0]?.service(service) }
      var conditions = [finding.valid]
      conditions.append(
        ready(finding, found, cluster: cluster, refusal: finding.problem ?? refusals[service]))
      if finding.valid.status { conditions.append(conflict(found, cluster: cluster)) }
      return DesiredObject(
        exports, finding.export,
        status: [
          "conditions": conditions.json(
            over: object.status["conditions"], generation: object.generation,
            now: milliseconds)
        ], extent: .status)
    }
  }

  /// What a new status says that the old one did not: the reasons are those of the conditions.
  static func statements(
    _ status: JSON, _ export: KubernetesObject, _ type: ResourceType
  ) -> Set<EventRecorder.Statement> {
    func fact(_ condition: JSON) -> [String] {
      ["type", "status", "reason"].map { condition[$0]?.string ?? "" }
    }
    let old = Set((export.status["conditions"]?.array ?? []).map(fact))
    var out: Set<EventRecorder.Statement> = []
    for condition in status["conditions"]?.array ?? [] where !old.contains(fact(condition)) {
      let (name, isTrue) = (condition["type"]?.string ?? "", condition["status"] == "True")
      // What goes well is told once, by `Ready`.
      guard name == "Ready" ? isTrue : name == "Conflict" ? isTrue : !isTrue else { continue }
      out.insert(
        EventRecorder.Statement(
          export, type, isWarning: name != "Ready", reason: condition["reason"]?.string ?? name,
          note: condition["message"]?.string ?? ""))
    }
    return out
  }

  private static func ready(
    _ finding: ExportReader.Finding, _ found: ServiceImport?, cluster: String, refusal: String?
  ) -> Condition {
    if !finding.valid.status {
      return Condition("Ready", false, reason: "Failed", message: finding.valid.message)
    }
    if let refusal { return Condition("Ready", false, reason: "Pending", message: refusal) }
    guard found?.export(of: cluster) != nil else {
      return Condition("Ready", false, reason: "Pending", message: "not published yet")
    }
    return Condition(
      "Ready", true, reason: "Exported",
      message: "exported into slice \(finding.slice ?? "")")
  }

  /// A conflict shows on every export of the service, not on those that lose only.
  private static func conflict(_ found: ServiceImport?, cluster: String) -> Condition {
    let conflicts = found?.export(of: cluster) == nil ? [] : found?.conflicts ?? []
    let messages = conflicts.map { conflict in
      "\(conflict.reason.rawValue): \(conflict.losers.joined(separator: ", ")) differs from "
        + "\(conflict.winner), whose export is the oldest"
    }
    return Condition(
      "Conflict", !conflicts.isEmpty, reason: ExportConflict.conditionReason(conflicts),
      message: messages.joined(separator: "; "))
  }
}
