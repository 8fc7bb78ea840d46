internal import Base
internal import Replication

/// The longer answers, for people.
public enum Reports {
  public static func status(_ status: APIStatus, style: TextStyle, now: APITime) -> String {
    var out = Description()
    let isGood = status.phase == .joined
    out.field("Phase", status.phase.rawValue, isGood ? .good : .warning)
    out.field("Detail", status.detail)
    out.field("ClusterSet", status.clusterSet.map { "\($0.name) (\($0.id.short))" })
    out.field("Cluster", status.cluster)
    out.field("Node", "\(status.node.short), fingerprint \(Enrolments.fingerprint(status.key))")
    out.field("Addresses", status.addresses.joined(separator: ", "))
    out.field("Version", "\(status.version), up \(Age.text(status.startedAt, now: now))")
    let clusters = status.clusters
    out.field(
      "Clusters",
      "\(clusters.alive) of \(clusters.admitted) alive"
        + (clusters.suspect > 0 ? ", \(clusters.suspect) suspect" : "")
        + (clusters.dead > 0 ? ", \(clusters.dead) dead" : ""),
      clusters.alive == clusters.admitted ? .good : .warning)
    out.field("Slices", "\(status.slices), with \(status.services) services")
    out.field(
      "Tunnels", "\(status.tunnels.established) of \(status.tunnels.configured) established",
      status.tunnels.established == status.tunnels.configured ? .plain : .warning)
    out.field(
      "Conflicts", status.conflicts == 0 ? "none" : "\(status.conflicts): starling conflicts",
      status.conflicts == 0 ? .plain : .bad)
    out.field(
      "Changesets",
      "\(status.pending) pending, \(status.held) held, \(status.rejected) refused since the start")
    out.field(
      "Storage", item(status.storage), status.storage.ok ? .plain : .bad)
    out.field("Clock", item(status.clock), status.clock.ok ? .plain : .bad)
    var scopes = Table(
      [.init("SCOPE"), .init("CHANGESETS", right: true), .init("SYNCED"), .init("DIGEST")],
      ifEmpty: "")
    scopes.rows = status.scopes.map { scope in
      [
        "\(scope.scope)", "\(scope.changesets)",
        Table.Cell(scope.synced ? "yes" : "not yet", scope.synced ? .plain : .warning),
        "\(scope.digest.prefix(12))",
      ]
    }
    out.table("Scopes", scopes, style: style)
    out.lines(
      "Warnings",
      status.warnings.map { warning in
        style(.warning, "! \(warning.title)") + ": \(warning.detail)"
          + (warning.fix.isEmpty ? "" : " \(warning.fix)")
      })
    return out.text(style: style)
  }

  private static func item(_ item: APIHealthItem) -> String {
    item.ok ? (item.detail.isEmpty ? "ok" : "ok, \(item.detail)") : item.detail
  }

  public static func slice(_ slice: APISlice, style: TextStyle, now: APITime) -> String {
    var out = Description()
    out.field("Slice", slice.name, .strong)
    out.field("State", slice.state.rawValue, Tables.tone(slice.state))
    out.field("Detail", slice.detail)
    out.field(
      "Changed",
      slice.changedAt.map { at in
        "\(at) (\(Age.text(at, now: now)) ago)"
          + (slice.changedBy.map { " by \($0.short)" } ?? "")
          + (slice.changeset.map { ", changeset \($0.short)" } ?? "")
      })
    out.field("Services", "\(slice.services)")
    var members = Table(
      [
        .init("CLUSTER"), .init("STATE"), .init("BLOCK"), .init("NAMESPACES"), .init("ENDPOINTS"),
        .init("DETAIL"),
      ], ifEmpty: "")
    members.rows = slice.members.map { member in
      [
        "\(member.cluster)",
        Table.Cell(member.state.rawValue, member.state == .active ? .good : .warning),
        Table.Cell(
          member.block.map { "\($0)" + (member.blockCIDR.map { " (\($0))" } ?? "") }),
        Table.Cell(member.namespaces.joined(separator: ",")),
        Table.Cell(member.endpoints.joined(separator: ",")), Table.Cell(member.detail),
      ]
    }
    out.table("Members", members, style: style)
    out.lines(
      "Problems",
      slice.problems.map { problem in
        style(.bad, problem.path) + (problem.field.isEmpty ? "" : " \(problem.field)")
          + ": \(problem.message)"
          + (problem.allowed.isEmpty ? "" : "; allowed: \(problem.allowed)")
      })
    out.lines("Conflicts", slice.conflicts.map { style(.bad, $0) })
    out.lines(
      "Spec", OutputTree(slice.spec).yaml.split(separator: "\n").map { String($0) })
    return out.text(style: style)
  }

  public static func cluster(_ row: ClusterRow, style: TextStyle, now: APITime) -> String {
    var out = Description()
    out.field("Cluster", row.name, .strong)
    out.field("State", row.state)
    out.field("Version", row.version)
    out.field(
      "Labels",
      row.labels.sorted { $0.key < $1.key }.map { "\($0)=\($1)" }.joined(separator: ", "))
    out.field(
      "Location", row.latitude.flatMap { latitude in row.longitude.map { "\(latitude), \($0)" } })
    out.field("Slices", row.slices.joined(separator: ", "))
    out.table("Peers", Tables.members(row.peers, now: now), style: style)
    return out.text(style: style)
  }

  public static func service(_ service: APIService, style: TextStyle) -> String {
    var out = Description()
    out.field("Service", "\(service.namespace)/\(service.name)", .strong)
    out.field("Slice", service.slice)
    out.field("Type", service.type)
    out.field(
      "Ports",
      service.ports.map { port in
        "\(port.port)/\(port.transport)" + (port.name.isEmpty ? "" : " (\(port.name))")
      }.joined(separator: ", "))
    out.field(
      "Answers", service.answers.isEmpty ? "nothing" : service.answers.joined(separator: ", "),
      service.answers.isEmpty ? .bad : .good)
    out.lines("Names", service.names)
    var exporters = Table(
      [.init("CLUSTER"), .init("STATE"), .init("RTT"), .init("ENDPOINTS")], ifEmpty: "")
    exporters.rows = service.exporters.map { exporter in
      [
        Table.Cell(exporter.cluster + (exporter.isLocal ? " (this)" : "")),
        Table.Cell(
          exporter.reachable ? exporter.stale ? "stale" : "reachable" : "unreachable",
          exporter.reachable ? exporter.stale ? .warning : .good : .bad),
        Table.Cell(Age.text(exporter.roundTripMilliseconds)),
        Table.Cell(
          exporter.endpoints.map { $0.address + ($0.ready ? "" : " (not ready)") }
            .joined(separator: ", ")),
      ]
    }
    out.table("Exported by", exporters, style: style)
    out.lines(
      "Conditions",
      service.conditions.map { "\($0.type)=\($0.status) \($0.reason): \($0.message)" })
    return out.text(style: style)
  }

  /// One step a line, with a sign and, where something is wrong, what to do.
  public static func explanation(_ answer: APIExplanation, style: TextStyle) -> String {
    var out = style(.strong, answer.subject) + "\n"
    for step in answer.steps {
      let (sign, tone): (String, TextStyle.Tone) =
        switch step.outcome {
        case .ok: ("✓", .good)
        case .warning: ("!", .warning)
        case .failed: ("✗", .bad)
        case .skipped: ("·", .faint)
        }
      out += "  \(style(tone, sign)) \(step.title)"
      out += step.detail.isEmpty ? "\n" : ": \(step.detail)\n"
      if !step.fix.isEmpty { out += "      → \(step.fix)\n" }
    }
    let tone: TextStyle.Tone =
      switch answer.verdict {
      case .ok: .good
      case .degraded: .warning
      case .failed: .bad
      }
    return out + style(tone, answer.summary) + "\n"
  }
}
