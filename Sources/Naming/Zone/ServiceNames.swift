internal import Base
internal import Slices

/// What one service adds to the names of its slice.
struct ServiceNames: Sendable {
  /// By relative name in wire form without the root; the names in between among them.
  let records: [[UInt8]: NameRecords]
  /// Relative names by address.
  let reverse: [IPAddress: [UInt8]]

  static let none = ServiceNames(records: [:], reverse: [:])

  private init(records: [[UInt8]: NameRecords], reverse: [IPAddress: [UInt8]]) {
    self.records = records
    self.reverse = reverse
  }

  /// - Parameter aliases: of the service.
  init(
    _ service: ServiceImport, aliases: [String], in view: SliceView, _ sources: NameSources
  ) {
    let known = sources.known(service)
    var builder = Builder(service: known, view: view, sources: sources)
    builder.build(aliases: aliases)
    records = builder.names.records
    reverse = builder.reverse
  }

  private struct Builder {
    let service: ServiceImport
    let view: SliceView
    let sources: NameSources
    var names = NameTableBuilder()
    var reverse: [IPAddress: [UInt8]] = [:]

    private var base: [String] { [service.service.name, service.service.namespace, "svc"] }

    mutating func build(aliases: [String]) {
      let selection = EndpointSelection(
        service, dns: view.dns, reachability: sources.reachability)
      let selected = selection.clusters.compactMap { service.export(of: $0) }
      let pods = addPods(keptLast: selection.keptLast)
      var record = NameRecords()
      var targets: [[UInt8]] = []
      if service.type == .headless {
        record.addresses = selected.flatMap { $0.endpoints.filter(\.ready).map(\.address) }
        targets = selected.flatMap { pods[$0.cluster] ?? [] }
        // Headless and nobody ready: there is no such name (KEP-1645).
        if record.addresses.isEmpty { return }
      } else {
        record.addresses = addresses(selected)
        record.isSampled = true
        targets = record.addresses.isEmpty ? [] : [NameTableBuilder.wire(base)].compactMap { $0 }
        for address in record.addresses { reverse[address] = reverse[address] ?? targets.first }
      }
      let explicit = [service.service.name, service.service.namespace, view.name]
      var forms: [([String], ZoneKinds)] = [(base, [.slice, .clusterset]), (explicit, .slice)]
      forms += aliases.flatMap { Self.forms(ofAlias: $0) }
      for (labels, kinds) in forms { add(record, targets, at: labels, kinds) }
    }

    private static func forms(ofAlias alias: String) -> [([String], ZoneKinds)] {
      let labels = alias.split(separator: ".").map { String($0) }
      return labels.count > 1 ? [(labels, .slice), (labels, .absolute)] : [(labels, .slice)]
    }

    private mutating func add(
      _ record: NameRecords, _ targets: [[UInt8]], at labels: [String], _ kinds: ZoneKinds
    ) {
      guard let wire = NameTableBuilder.wire(labels) else { return }
      // At the bare name: all ports, each target once (asked for by the conformance suite).
      let all = service.ports.flatMap { port in
        targets.map { ServiceTarget(port: port.port, target: $0) }
      }
      names.add(wire, kinds) {
        $0.addresses += record.addresses
        $0.isSampled = record.isSampled
        $0.services += all
      }
      guard kinds != .absolute else { return }
      for port in service.ports where !port.name.isEmpty {
        let prefix = ["_\(port.name)", "_\(port.transport.rawValue.lowercased())"]
        guard let wire = NameTableBuilder.wire(prefix, before: wire) else { continue }
        names.add(wire, kinds) {
          $0.services += targets.map { ServiceTarget(port: port.port, target: $0) }
        }
      }
    }

    /// `pod.cluster.svc.ns.svc` for each ready endpoint that can be reached; an endpoint without a
    /// hostname goes by its address with dashes.
    ///
    /// - Returns: relative names by cluster, in the order of the endpoints.
    private mutating func addPods(keptLast: Bool) -> [String: [[UInt8]]] {
      guard let base = NameTableBuilder.wire(base) else { return [:] }
      var out: [String: [[UInt8]]] = [:]
      for export in service.exports
      where keptLast || sources.reachability.canReach(export.cluster) {
        guard let parent = NameTableBuilder.wire([export.cluster], before: base) else { continue }
        for endpoint in export.endpoints where endpoint.ready {
          guard let wire = NameTableBuilder.wire([Self.podLabel(endpoint)], before: parent) else {
            continue
          }
          names.add(wire, [.slice, .clusterset]) { $0.addresses.append(endpoint.address) }
          out[export.cluster, default: []].append(wire)
          reverse[endpoint.address] = wire
        }
      }
      return out
    }

    private static func podLabel(_ endpoint: ServiceEndpoint) -> String {
      guard endpoint.hostname.isEmpty else { return endpoint.hostname }
      let text = String(
        endpoint.address.description.map { $0 == "." || $0 == ":" ? "-" : $0 })
      // "::1" would begin with a dash, "fd00::" end with one.
      return (text.hasPrefix("-") ? "0" : "") + text + (text.hasSuffix("-") ? "0" : "")
    }

    /// The service's own addresses where there are any, else those of its endpoints.
    private func addresses(_ selected: [ServiceExport]) -> [IPAddress] {
      if let own = sources.serviceAddresses[service.service], !own.isEmpty { return own }
      return selected.flatMap { export -> [IPAddress] in
        if sources.hasServiceAddresses, export.ports.contains(where: { $0.port != $0.targetPort }) {
          return []
        }
        return export.vips.isEmpty
          ? export.endpoints.filter(\.ready).map(\.address) : export.vips
      }
    }
  }
}
