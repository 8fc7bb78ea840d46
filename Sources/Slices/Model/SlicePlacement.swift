/// The section `slice/<s>/placement`: what the slice's namespaces carry in every cluster.
public struct SlicePlacement: Hashable, Sendable {
  /// On each namespace, as Kubernetes takes labels; of nobody's domain that decides on permissions.
  public var labels: [String: String]
  /// What the Pods of one namespace may use together in one cluster, by Kubernetes resource name.
  public var quotas: [String: ResourceQuantity]

  public init(labels: [String: String] = [:], quotas: [String: ResourceQuantity] = [:]) {
    self.labels = labels
    self.quotas = quotas
  }
}

extension SlicePlacement: SliceSection {
  public static let entryLimit = 64
  static let labelRule =
    "a Kubernetes label key, not of kubernetes.io, k8s.io, x-k8s.io or starling.dev"

  init(reading reader: inout FieldReader) {
    labels = reader.textMap("labels", limit: Self.entryLimit)
    for (key, value) in labels.sorted(by: { $0.key < $1.key }) {
      let path = "labels.\(FieldReader.bare(key))"
      if !LabelRules.isKey(key) || Self.isReserved(key) {
        reader.report(
          path, "\(FieldReader.quoted(key)) cannot be set", allowed: Self.labelRule)
      } else if !LabelRules.isValue(value) {
        reader.report(
          path, "\(FieldReader.quoted(value)) is no label's value",
          allowed: "at most 63 of letters, digits, '-', '_' and '.'")
      }
    }
    quotas = [:]
    for (name, text) in reader.textMap("quotas", limit: Self.entryLimit)
      .sorted(by: { $0.key < $1.key })
    {
      let path = "quotas.\(FieldReader.bare(name))"
      if !LabelRules.isKey(name) {
        reader.report(
          path, "\(FieldReader.quoted(name)) is no resource",
          allowed: "a Kubernetes resource name such as cpu, limits.memory or pods")
      } else if let quantity = ResourceQuantity(text) {
        quotas[name] = quantity
      } else {
        reader.report(
          path, "\(FieldReader.quoted(text)) is no quantity",
          allowed: "a Kubernetes quantity such as 8, 500m or 16Gi")
      }
    }
  }

  /// Labels by which clusters decide what may run in a namespace (Pod security, injection) and who
  /// takes part in a slice are local matters, whatever was signed.
  private static func isReserved(_ key: String) -> Bool {
    let parts = key.split(separator: "/")
    guard parts.count == 2 else { return false }
    return ["kubernetes.io", "k8s.io", "x-k8s.io", "starling.dev"].contains {
      parts[0] == $0 || parts[0].hasSuffix("." + $0)
    }
  }

  func write(_ writer: inout FieldWriter) {
    writer.put("labels", labels)
    writer.put("quotas", quotas.mapValues(\.description))
  }
}
