import Base
import Replication
import Runtime

/// Objects of the API as tables for people.
enum Tables {
  static func slices(_ slices: [APISlice], wide: Bool) -> String {
    guard !slices.isEmpty else { return "no slices" }
    var table = TextTable(
      ["NAME", "STATE", "CIDR", "MEMBERS", "SERVICES"] + (wide ? ["CHANGED", "CHANGESET"] : []))
    for slice in slices {
      table.rows.append(
        [
          slice.name, slice.state.rawValue, slice.spec["cidr"]?.string ?? "-",
          slice.members.map(\.cluster).joined(separator: ","), "\(slice.services)",
        ]
          + (wide
            ? ["\(slice.changedAt.map { "\($0)" } ?? "-")", slice.changeset?.hex ?? "-"] : []))
    }
    return table.text
  }

  static func members(_ members: [APIMember], wide: Bool) -> String {
    var table = TextTable(
      ["CLUSTER", "STATE", "RTT", "NODE"] + (wide ? ["ADDRESSES", "VERSION", "KEY"] : []))
    for member in members {
      let distance =
        member.isSelf
        ? "self" : member.roundTripMilliseconds.map { rounded($0) + " ms" } ?? "-"
      table.rows.append(
        [member.cluster, member.state.rawValue, distance, member.node.short]
          + (wide
            ? [member.addresses.joined(separator: ","), member.version ?? "-", member.key.hex] : [])
      )
    }
    return table.text
  }

  static func services(_ services: [APIService], wide: Bool) -> String {
    guard !services.isEmpty else { return "no services" }
    var table = TextTable(
      ["SLICE", "SERVICE", "TYPE", "PORTS", "EXPORTERS", "ANSWERS"] + (wide ? ["NAMES"] : []))
    for service in services {
      let exporters = service.exporters.map { $0.cluster + ($0.reachable ? "" : "(away)") }
      table.rows.append(
        [
          service.slice, "\(service.namespace)/\(service.name)", service.type,
          service.ports.map { "\($0.port)/\($0.transport)" }.joined(separator: ","),
          exporters.joined(separator: ","), service.answers.joined(separator: ","),
        ] + (wide ? [service.names.joined(separator: ",")] : []))
    }
    return table.text
  }

  static func tunnels(_ tunnels: [APITunnel], wide: Bool) -> String {
    guard !tunnels.isEmpty else { return "no tunnels" }
    var table = TextTable(
      ["SLICE", "CLUSTER", "STATE", "RTT", "LOSS", "SENT", "RECEIVED"]
        + (wide ? ["ENDPOINT", "CIPHER", "EPOCH", "LAST ERROR"] : []))
    for tunnel in tunnels {
      table.rows.append(
        [
          tunnel.slice, tunnel.cluster, tunnel.state.rawValue,
          tunnel.roundTripMilliseconds.map { rounded($0) + " ms" } ?? "-",
          tunnel.loss.map { rounded($0 * 100) + " %" } ?? "-", "\(tunnel.sentBytes) B",
          "\(tunnel.receivedBytes) B",
        ]
          + (wide
            ? [
              tunnel.endpoint ?? "-", tunnel.cipher ?? "-", "\(tunnel.epoch ?? 0)",
              tunnel.lastError ?? "-",
            ] : []))
    }
    return table.text
  }

  static func grants(_ grants: APIGrants, wide: Bool) -> String {
    var table = TextTable(["GRANT", "STATE", "SUBJECT", "CAPABILITIES", "NOT AFTER", "UNDER"])
    for grant in grants.grants {
      let subject =
        grant.subject.map { wide ? $0.hex : $0.short } ?? "root of \(grant.rootKeys?.count ?? 0)"
      table.rows.append([
        wide ? grant.id.hex : grant.id.short, grant.state.rawValue, subject,
        grant.capabilities.map(\.description).joined(separator: ","),
        grant.notAfter.map { "\($0)" } ?? "-", grant.under?.short ?? "-",
      ])
    }
    return table.text
  }

  static func registers(_ registers: APIRegisters, wide: Bool) -> String {
    var table = TextTable(["SCOPE", "PATH", "VALUES", "CHANGED", "BY"])
    for register in registers.registers {
      guard let winner = register.values.first else { continue }
      table.rows.append([
        "\(register.scope)", register.path + (winner.value == nil ? " (deleted)" : ""),
        "\(register.values.count)", "\(winner.at)",
        wide ? winner.author.hex : winner.author.short,
      ])
    }
    return table.text
  }

  static func conflicts(_ conflicts: [APIConflict], wide: Bool) -> String {
    guard !conflicts.isEmpty else { return "no conflicts" }
    return conflicts.map { conflict in
      "\(conflict.kind.rawValue) \(conflict.subject): \(conflict.detail)\n  \(conflict.fix)"
    }.joined(separator: "\n")
  }

  static func log(_ entries: [APIChangeset], verified: [Digest: Bool], wide: Bool) -> String {
    guard !entries.isEmpty else { return "nothing" }
    var table = TextTable(["TIME", "CHANGESET", "AUTHOR", "SIGNATURE", "STATE", "WHAT"])
    for entry in entries {
      let signature =
        switch verified[entry.id] {
        case true?: "verified"
        case false?: "WRONG"
        case nil: "-"
        }
      table.rows.append([
        "\(entry.at)", wide ? entry.id.hex : entry.id.short,
        wide ? entry.author.hex : entry.author.short, signature, entry.state.rawValue,
        what(entry),
      ])
    }
    return table.text
  }

  private static func what(_ entry: APIChangeset) -> String {
    var parts = entry.writes.map { ($0.deletes ? "-" : "") + $0.path }
    if let grant = entry.grant {
      parts.append("grant " + grant.capabilities.map(\.description).joined(separator: ","))
    }
    parts += entry.floors.map { "floor on \($0.grant.short)" }
    if entry.rootKeys != nil { parts.append("root change") }
    if !entry.message.isEmpty { parts.append("(\(entry.message))") }
    if !entry.reason.isEmpty { parts.append("- \(entry.reason)") }
    return parts.joined(separator: " ")
  }

  static func status(_ status: APIStatus) -> String {
    var lines = [
      "\(status.cluster) \(status.phase.rawValue): \(status.detail)",
      "  ClusterSet  \(status.clusterSet.map { "\($0.name) \($0.id.short)" } ?? "-")",
      "  peer        \(status.node.short) at \(status.addresses.joined(separator: ", "))",
      "  version     \(status.version), up \(status.uptimeMilliseconds / 1000) s",
      "  clusters    \(status.clusters.admitted) admitted, \(status.clusters.alive) alive, "
        + "\(status.clusters.suspect) suspect, \(status.clusters.dead) dead",
      "  slices      \(status.slices), services \(status.services), conflicts \(status.conflicts)",
      "  tunnels     \(status.tunnels.established) of \(status.tunnels.configured) established",
      "  changesets  \(status.pending) pending, \(status.held) held, \(status.rejected) refused",
      "  storage     \(status.storage.ok ? "ok" : status.storage.detail)",
    ]
    for warning in status.warnings {
      lines.append("! \(warning.title): \(warning.detail) \(warning.fix)")
    }
    return lines.joined(separator: "\n")
  }

  static func description(of slice: APISlice) -> String {
    var lines = ["\(slice.name): \(slice.state.rawValue) \(slice.detail)", "", "spec:"]
    lines += slice.spec.yaml.split(separator: "\n").map { "  " + $0 }
    lines.append("")
    var table = TextTable(["CLUSTER", "STATE", "BLOCK", "NAMESPACES", "ENDPOINTS"])
    for member in slice.members {
      table.rows.append([
        member.cluster, member.state.rawValue, member.blockCIDR ?? "-",
        member.namespaces.joined(separator: ","), member.endpoints.joined(separator: ","),
      ])
    }
    lines.append(table.text)
    for problem in slice.problems {
      lines.append("! \(problem.path) \(problem.field): \(problem.message) \(problem.allowed)")
    }
    return lines.joined(separator: "\n")
  }

  static func explanation(_ explanation: APIExplanation) -> String {
    var lines = [explanation.summary]
    for step in explanation.steps {
      let sign =
        switch step.outcome {
        case .ok: "ok  "
        case .warning: "warn"
        case .failed: "FAIL"
        case .skipped: "-   "
        }
      lines.append("  \(sign)  \(step.title): \(step.detail)")
      if !step.fix.isEmpty { lines.append("        \(step.fix)") }
    }
    return lines.joined(separator: "\n")
  }

  static func rounded(_ number: Double) -> String {
    "\((number * 100).rounded() / 100)"
  }
}
