public import Base

/// Turns KubeSlice objects into manifests and exports, and says what of them has no counterpart.
///
/// Pure: it reads documents as YAML or the API has them (`controller.kubeslice.io`,
/// `networking.kubeslice.io`) and writes none. Lists (`kind: List`) are looked into.
public struct KubeSliceImport: Sendable {
  /// What became of one object or one field of it.
  public struct Note: Hashable, Sendable, CustomStringConvertible {
    public enum Kind: String, Hashable, Sendable {
      /// It says something else here.
      case changed
      /// Nothing here does that.
      case dropped
      /// It cannot be taken over as it is.
      case refused
    }

    public var kind: Kind
    /// `SliceConfig/red spec.vpnConfig.cipher`.
    public var subject: String
    public var message: String

    public var description: String { "\(kind.rawValue): \(subject): \(message)" }
  }

  /// A service to export: a `ServiceExport` of the MCS API in that cluster.
  public struct Export: Hashable, Sendable {
    public var cluster: String
    public var service: ServiceName
    public var slice: String
    public var aliases: [String]
  }

  /// In the order of the documents.
  public private(set) var manifests: [SliceManifest] = []
  public private(set) var exports: [Export] = []
  public private(set) var notes: [Note] = []

  static let documentLimit = 10_000

  private var profiles: [String: Value] = [:]

  public init(_ documents: [Value]) {
    let objects = documents.flatMap(Self.objects).prefix(Self.documentLimit)
    for object in objects where object["kind"]?.string == "SliceQoSConfig" {
      profiles[Self.name(object)] = object["spec"] ?? .null
    }
    for object in objects { take(object) }
    let used = Set(
      objects.compactMap { $0["spec"]?["standardQosProfileName"]?.string })
    for name in profiles.keys.sorted() where !used.contains(name) {
      note(.dropped, "SliceQoSConfig/\(name)", "no slice uses it")
    }
  }

  private static func objects(_ document: Value) -> [Value] {
    guard document["kind"]?.string?.hasSuffix("List") == true else { return [document] }
    return document["items"]?.list ?? []
  }

  private static func name(_ object: Value) -> String { object["metadata"]?["name"]?.string ?? "" }

  private mutating func note(_ kind: Note.Kind, _ subject: String, _ message: String) {
    notes.append(Note(kind: kind, subject: subject, message: message))
  }

  private mutating func take(_ object: Value) {
    let kind = object["kind"]?.string ?? "?"
    let subject = "\(kind)/\(Self.name(object))"
    switch kind {
    case "SliceConfig": takeSlice(object, subject)
    case "SliceQoSConfig": break
    case "ServiceExportConfig": takeExportConfig(object, subject)
    case "ServiceExport": takeExport(object, subject)
    case "Cluster":
      note(.dropped, subject, "clusters join by a token of their own: starling token create")
    case "Project":
      note(
        .dropped, subject,
        "a grant does that: starling grant KEY --capability 'slice:<team>-*'")
    case "VpnKeyRotation", "WorkerSliceConfig", "WorkerSliceGateway", "WorkerServiceImport",
      "ServiceImport", "Slice", "SliceGateway", "SliceNodeAffinity":
      note(.dropped, subject, "derived by KubeSlice; it is derived here as well")
    default: note(.refused, subject, "this is no object of KubeSlice that has a counterpart")
    }
  }

  // MARK: Slices

  private mutating func takeSlice(_ object: Value, _ subject: String) {
    let spec = object["spec"] ?? .null
    var fields: [String: Value] = [:]
    let mode = spec["overlayNetworkDeploymentMode"]?.string ?? "single-network"
    fields["overlay"] = mode == "no-network" ? "none" : "service"
    if mode == "multi-network" {
      note(
        .changed, "\(subject) spec.overlayNetworkDeploymentMode",
        "multi-network becomes overlay \"service\": traffic goes through tunnels, not through ingress "
          + "gateways")
    }
    if mode != "no-network" { fields["cidr"] = spec["sliceSubnet"] ?? "10.1.0.0/16" }
    fields["maxClusters"] = spec["maxClusters"]
    fields["topology"] = topology(spec, subject)
    let clusters = (spec["clusters"]?.list ?? []).compactMap(\.string)
    fields["members"] = .list(clusters.map { member($0, spec, clusters) })
    fields["isolation"] = isolation(spec, subject)
    fields["qos"] = qos(spec, subject)
    fields["rotation"] = rotation(spec, subject)
    noteRest(spec, subject)
    let document: Value = [
      "apiVersion": "starling.dev/v1alpha1", "kind": "Slice",
      "metadata": ["name": .string(Self.name(object))], "spec": .map(fields: fields),
    ]
    do throws(ManifestError) {
      manifests.append(try SliceManifest(document))
    } catch {
      for problem in error.errors { note(.refused, subject, problem.description) }
    }
  }

  private mutating func topology(_ spec: Value, _ subject: String) -> Value? {
    let hubs = spec["topology"]?["hubs"] ?? spec["hubClusters"]
    guard let mode = spec["topology"]?["mode"]?.string ?? spec["topologyType"]?.string else {
      return nil
    }
    let plain = mode.lowercased().filter { $0 != "-" && $0 != "_" }
    switch plain {
    case "fullmesh", "full": return ["mode": "FullMesh"]
    case "hubandspoke", "hubspoke":
      return .map(fields: ["mode": "HubAndSpoke", "hubs": hubs ?? .list([])])
    default:
      note(.changed, "\(subject) spec.topology", "\"\(mode)\" becomes FullMesh")
      return nil
    }
  }

  private func member(_ cluster: String, _ spec: Value, _ clusters: [String]) -> Value {
    let profile = spec["namespaceIsolationProfile"]
    let namespaces = (profile?["applicationNamespaces"]?.list ?? [])
      .filter { Self.applies($0, to: cluster) }.compactMap { $0["namespace"]?.string }
    let types = spec["sliceGatewayProvider"]?["sliceGatewayServiceType"]?.list ?? []
    // The entry for the cluster goes before the one for all.
    let entry =
      types.first { $0["cluster"]?.string == cluster }
      ?? types.first { $0["cluster"]?.string == "*" }
    return .map(fields: [
      "cluster": .string(cluster),
      "namespaces": .list(Array(Set(namespaces)).sorted().map { .string($0) }),
      "gateway": ["type": entry?["type"] ?? "NodePort"],
    ])
  }

  private static func applies(_ entry: Value, to cluster: String) -> Bool {
    let clusters = (entry["clusters"]?.list ?? []).compactMap(\.string)
    return clusters.contains("*") || clusters.contains(cluster)
  }

  private mutating func isolation(_ spec: Value, _ subject: String) -> Value? {
    guard let profile = spec["namespaceIsolationProfile"] else { return nil }
    let allowed = profile["allowedNamespaces"]?.list ?? []
    for entry in allowed
    where entry["clusters"]?.list?.contains("*") != true {
      note(
        .changed, "\(subject) spec.namespaceIsolationProfile.allowedNamespaces",
        "\(entry["namespace"]?.string ?? "?") is allowed in every cluster, not in some")
    }
    let names = Set(allowed.compactMap { $0["namespace"]?.string }).sorted()
    return .map(fields: [
      "enabled": profile["isolationEnabled"] ?? false,
      "allowedNamespaces": .list(names.map { .string($0) }),
    ])
  }

  private mutating func qos(_ spec: Value, _ subject: String) -> Value? {
    var details = spec["qosProfileDetails"]
    if let name = spec["standardQosProfileName"]?.string, !name.isEmpty {
      details = profiles[name]
      if details == nil {
        note(
          .refused, "\(subject) spec.standardQosProfileName",
          "the profile \"\(name)\" is not among the objects")
      }
    }
    guard let details else { return nil }
    if let queue = details["queueType"]?.string, queue != "HTB" {
      note(.changed, "\(subject) QoS queueType", "\"\(queue)\" becomes what HTB does")
    }
    var fields: [String: Value] = [:]
    fields["ceilingKbps"] = details["bandwidthCeilingKbps"]
    fields["guaranteedKbps"] = details["bandwidthGuaranteedKbps"]
    fields["priority"] = details["priority"]
    if let name = details["dscpClass"]?.string {
      fields["dscp"] = .string(name.lowercased() == "default" ? "CS0" : name)
    }
    return .map(fields: fields)
  }

  /// Days there; here a certificate lives a day unless somebody wants it longer.
  private mutating func rotation(_ spec: Value, _ subject: String) -> Value? {
    guard let days = spec["rotationInterval"]?.integer else { return nil }
    note(
      .changed, "\(subject) spec.rotationInterval",
      "\(days) days are kept; the default here is 24h, and nothing restarts when keys rotate")
    return ["interval": .string("\(days)d")]
  }

  private mutating func noteRest(_ spec: Value, _ subject: String) {
    let provider = spec["sliceGatewayProvider"]
    if let type = provider?["sliceGatewayType"]?.string, type != "Starling" {
      note(
        .changed, "\(subject) spec.sliceGatewayProvider.sliceGatewayType",
        "\(type) becomes Starling's own tunnel: gateways of both kinds cannot talk to each other")
    }
    for entry in provider?["sliceGatewayServiceType"]?.list ?? []
    where entry["protocol"]?.string == "TCP" {
      note(.changed, "\(subject) spec.sliceGatewayProvider", "tunnels go over UDP, not TCP")
    }
    if let cipher = spec["vpnConfig"]?["cipher"]?.string {
      note(
        .changed, "\(subject) spec.vpnConfig.cipher",
        "\(cipher) becomes what both gateways are fastest with, always authenticated")
    }
    if let type = spec["sliceIpamType"]?.string, type != "Local" {
      note(.changed, "\(subject) spec.sliceIpamType", "each cluster allots inside its own block")
    }
    if spec["renewBefore"] != nil {
      note(
        .dropped, "\(subject) spec.renewBefore", "certificates are renewed ahead of their end")
    }
    for gateway in spec["externalGatewayConfig"]?.list ?? [] {
      let isOn = ["ingress", "egress", "nsIngress"].contains {
        gateway[$0]?["enabled"]?.bool == true
      }
      if isOn {
        note(
          .dropped, "\(subject) spec.externalGatewayConfig",
          "gateways of \(gateway["gatewayType"]?.string ?? "a mesh") stay what they are; nothing here "
            + "makes or uses them")
      }
    }
  }

  // MARK: Exports

  private mutating func takeExportConfig(_ object: Value, _ subject: String) {
    let spec = object["spec"] ?? .null
    add(
      spec["sourceCluster"]?.string, spec["serviceNamespace"]?.string, spec["serviceName"]?.string,
      spec["sliceName"]?.string, spec, subject)
  }

  private mutating func takeExport(_ object: Value, _ subject: String) {
    if object["apiVersion"]?.string?.hasPrefix("multicluster.x-k8s.io/") == true {
      note(.dropped, subject, "this is the MCS API's own: it is used as it is")
      return
    }
    let spec = object["spec"] ?? .null
    if spec["selector"] != nil {
      note(
        .changed, "\(subject) spec.selector",
        "a Service of that name has to select these Pods; it is exported, not the Pods")
    }
    add(
      "", object["metadata"]?["namespace"]?.string ?? "default", Self.name(object),
      spec["slice"]?.string, spec, subject)
  }

  /// - Parameter cluster: empty: the one that it was read from.
  private mutating func add(
    _ cluster: String?, _ namespace: String?, _ name: String?, _ slice: String?, _ spec: Value,
    _ subject: String
  ) {
    guard let cluster, let namespace, let name, let slice, NameRules.isLabel(name),
      NameRules.isLabel(namespace), cluster.isEmpty || NameRules.isLabel(cluster)
    else {
      note(.refused, subject, "it does not say which Service of which cluster and slice")
      return
    }
    let aliases = (spec["aliases"]?.list ?? []).compactMap(\.string)
    for alias in aliases where !NameRules.isDomain(alias) {
      note(.dropped, "\(subject) spec.aliases", "\"\(alias)\" is no name")
    }
    if spec["ingressEnabled"]?.bool == true {
      note(.dropped, "\(subject) spec.ingressEnabled", "clients reach the endpoints themselves")
    }
    if spec["ports"]?.list?.isEmpty == false {
      note(.changed, "\(subject) spec.ports", "the Service's own ports are exported, all of them")
    }
    exports.append(
      Export(
        cluster: cluster, service: ServiceName(namespace: namespace, name: name), slice: slice,
        aliases: aliases.filter { NameRules.isDomain($0) }))
  }
}
