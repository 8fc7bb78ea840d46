public import Base
public import Slices

/// The names of one slice as this cluster answers them now. Immutable; made anew when the slice or
/// what can be reached changes, so that no query ever waits for a change.
public final class SliceNames: Sendable {
  public let slice: String
  /// Seconds.
  public let ttl: UInt32
  /// Where PTR names live; `nil` with overlay `none`.
  public let cidr: IPPrefix?
  let table: NameTable
  /// Relative names, in wire form without the root.
  let reverse: [IPAddress: [UInt8]]

  /// - Parameters:
  ///   - serviceAddresses: in place of what the exporters name, where this cluster has its own
  ///     address for an imported service (`spec.ips` of a ServiceImport).
  public init(
    _ view: SliceView, reachability: Reachability,
    serviceAddresses: [ServiceName: [IPAddress]] = [:]
  ) {
    var builder = SliceNamesBuilder(
      view: view, reachability: reachability, serviceAddresses: serviceAddresses)
    for service in view.services { builder.add(service) }
    slice = view.name
    ttl = UInt32(clamping: view.dns.ttl.milliseconds / 1000)
    cidr = view.network?.cidr
    table = builder.names.table()
    reverse = builder.reverse
  }
}

private struct SliceNamesBuilder {
  let view: SliceView
  let reachability: Reachability
  let serviceAddresses: [ServiceName: [IPAddress]]
  let aliases: [ServiceName: [String]]
  var names = NameTableBuilder()
  var reverse: [IPAddress: [UInt8]] = [:]

  init(
    view: SliceView, reachability: Reachability, serviceAddresses: [ServiceName: [IPAddress]]
  ) {
    self.view = view
    self.reachability = reachability
    self.serviceAddresses = serviceAddresses
    aliases = Dictionary(grouping: view.aliases, by: \.service).mapValues { $0.map(\.name) }
  }

  mutating func add(_ service: ServiceImport) {
    let selection = EndpointSelection(service, dns: view.dns, reachability: reachability)
    let selected = selection.clusters.compactMap { service.export(of: $0) }
    let base = [service.service.name, service.service.namespace, "svc"]
    let pods = addPods(service, base, keptLast: selection.keptLast)
    var record = NameRecords()
    var targets: [[UInt8]] = []
    if service.type == .headless {
      record.addresses = selected.flatMap { $0.endpoints.filter(\.ready).map(\.address) }
      targets = selected.flatMap { pods[$0.cluster] ?? [] }
      // Headless and nobody ready: there is no such name (KEP-1645).
      if record.addresses.isEmpty { return }
    } else {
      record.addresses = addresses(of: service, selected)
      record.isSampled = true
      targets = record.addresses.isEmpty ? [] : [NameTableBuilder.wire(base)].compactMap { $0 }
      for address in record.addresses { reverse[address] = reverse[address] ?? targets.first }
    }
    let explicit = [service.service.name, service.service.namespace, view.name]
    var forms: [([String], ZoneKinds)] = [(base, [.slice, .clusterset]), (explicit, .slice)]
    forms += aliasForms(of: service.service)
    for (labels, kinds) in forms { add(record, service.ports, targets, at: labels, kinds) }
  }

  private func aliasForms(of service: ServiceName) -> [([String], ZoneKinds)] {
    (aliases[service] ?? []).flatMap { alias -> [([String], ZoneKinds)] in
      let labels = alias.split(separator: ".").map { String($0) }
      return labels.count > 1 ? [(labels, .slice), (labels, .absolute)] : [(labels, .slice)]
    }
  }

  private mutating func add(
    _ record: NameRecords, _ ports: [ServicePort], _ targets: [[UInt8]], at labels: [String],
    _ kinds: ZoneKinds
  ) {
    // At the bare name: all ports, each target once (asked for by the conformance suite).
    let all = ports.flatMap { port in
      targets.map { ServiceTarget(port: port.port, target: $0) }
    }
    names.add(labels, kinds) {
      $0.addresses += record.addresses
      $0.isSampled = record.isSampled
      $0.services += all
    }
    guard kinds != .absolute else { return }
    for port in ports where !port.name.isEmpty {
      let prefix = ["_\(port.name)", "_\(port.transport.rawValue.lowercased())"]
      names.add(prefix + labels, kinds) {
        $0.services += targets.map { ServiceTarget(port: port.port, target: $0) }
      }
    }
  }

  /// `pod.cluster.svc.ns.svc` for each ready endpoint that can be reached; an endpoint without a
  /// hostname goes by its address with dashes.
  ///
  /// - Returns: relative names by cluster, in the order of the endpoints.
  private mutating func addPods(
    _ service: ServiceImport, _ base: [String], keptLast: Bool
  ) -> [String: [[UInt8]]] {
    var out: [String: [[UInt8]]] = [:]
    for export in service.exports where keptLast || reachability.canReach(export.cluster) {
      for endpoint in export.endpoints where endpoint.ready {
        let labels = [Self.podLabel(endpoint), export.cluster] + base
        names.add(labels, [.slice, .clusterset]) { $0.addresses.append(endpoint.address) }
        guard let wire = NameTableBuilder.wire(labels) else { continue }
        out[export.cluster, default: []].append(wire)
        reverse[endpoint.address] = wire
      }
    }
    return out
  }

  private static func podLabel(_ endpoint: ServiceEndpoint) -> String {
    guard endpoint.hostname.isEmpty else { return endpoint.hostname }
    let text = String(endpoint.address.description.map { $0 == "." || $0 == ":" ? "-" : $0 })
    // "::1" would begin with a dash, "fd00::" end with one.
    return (text.hasPrefix("-") ? "0" : "") + text + (text.hasSuffix("-") ? "0" : "")
  }

  /// The service's own addresses where there are any, else those of its endpoints.
  private func addresses(
    of service: ServiceImport, _ selected: [ServiceExport]
  ) -> [IPAddress] {
    if let own = serviceAddresses[service.service], !own.isEmpty { return own }
    return selected.flatMap { export in
      export.vips.isEmpty ? export.endpoints.filter(\.ready).map(\.address) : export.vips
    }
  }
}
