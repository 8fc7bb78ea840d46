internal import Base
internal import Replication
internal import Slices

/// The lists that `get` prints.
public enum Tables {
  public static func slices(_ slices: [APISlice], now: APITime) -> Table {
    var table = Table(
      [
        .init("NAME"), .init("STATE"), .init("CIDR"), .init("MEMBERS"),
        .init("SERVICES", right: true), .init("CHANGED"), .init("BY", wide: true),
        .init("CONFLICTS", wide: true), .init("DETAIL", wide: true),
      ], ifEmpty: "There are no slices.")
    table.rows = slices.map { slice in
      [
        "\(slice.name)", Table.Cell(slice.state.rawValue, tone(slice.state)),
        Table.Cell(slice.spec["cidr"]?.string),
        Table.Cell(slice.members.map(\.cluster).joined(separator: ",")),
        "\(slice.services)", Table.Cell(slice.changedAt.map { Age.text($0, now: now) }),
        Table.Cell(slice.changedBy?.short), Table.Cell(slice.conflicts.joined(separator: ",")),
        Table.Cell(slice.detail),
      ]
    }
    return table
  }

  static func tone(_ state: APISlice.State) -> TextStyle.Tone {
    switch state {
    case .active: .good
    case .notMember: .faint
    case .invalid, .addressConflict: .bad
    }
  }

  public static func members(_ members: [APIMember], now: APITime) -> Table {
    var table = Table(
      [
        .init("CLUSTER"), .init("NODE"), .init("STATE"), .init("SINCE"), .init("RTT", right: true),
        .init("VERSION"), .init("SYNCED"), .init("ADDRESSES"), .init("LOSS", wide: true),
        .init("INCARNATION", wide: true), .init("LABELS", wide: true),
      ], ifEmpty: "There are no members: this peer has not joined.")
    table.rows = members.map { member in
      [
        Table.Cell(member.isSelf ? "\(member.cluster) (this)" : member.cluster),
        "\(member.node.short)", Table.Cell(member.state.rawValue, tone(member.state)),
        Table.Cell(member.since.map { Age.text($0, now: now) }),
        Table.Cell(Age.text(member.roundTripMilliseconds)), Table.Cell(member.version),
        Table.Cell(member.synced.map { $0 ? "yes" : "no" }),
        Table.Cell(member.addresses.joined(separator: ",")),
        Table.Cell(member.loss.map { "\(Int(($0 * 100).rounded()))%" }),
        "\(member.bootEpoch).\(member.incarnation)",
        Table.Cell(
          member.labels.sorted { $0.key < $1.key }.map { "\($0)=\($1)" }
            .joined(separator: ",")),
      ]
    }
    return table
  }

  static func tone(_ state: APIMember.State) -> TextStyle.Tone {
    switch state {
    case .alive: .good
    case .degraded, .suspect: .warning
    case .dead: .bad
    case .left, .unknown: .faint
    }
  }

  public static func services(_ services: [APIService]) -> Table {
    var table = Table(
      [
        .init("SLICE"), .init("NAMESPACE"), .init("NAME"), .init("TYPE"), .init("PORTS"),
        .init("EXPORTED BY"), .init("ANSWERS"), .init("NAMES", wide: true),
      ], ifEmpty: "No services are exported.")
    table.rows = services.map { service in
      let exporters = service.exporters.map { exporter in
        exporter.cluster + (exporter.reachable ? "" : " (unreachable)")
      }
      return [
        "\(service.slice)", "\(service.namespace)", "\(service.name)", "\(service.type)",
        Table.Cell(service.ports.map { "\($0.port)/\($0.transport)" }.joined(separator: ",")),
        Table.Cell(exporters.joined(separator: ",")),
        Table.Cell(
          service.answers.joined(separator: ","), service.answers.isEmpty ? .bad : .plain),
        Table.Cell(service.names.joined(separator: ",")),
      ]
    }
    return table
  }

  public static func tunnels(_ tunnels: [APITunnel]) -> Table {
    var table = Table(
      [
        .init("SLICE"), .init("CLUSTER"), .init("STATE"), .init("RTT", right: true),
        .init("LOSS", right: true), .init("SENT", right: true), .init("RECEIVED", right: true),
        .init("CIPHER"), .init("VIA"), .init("GATEWAY", wide: true), .init("REPLICA", wide: true),
        .init("ENDPOINT", wide: true), .init("NAT", wide: true),
        .init("JITTER", wide: true, right: true), .init("PATH", wide: true, right: true),
        .init("CERTIFICATE ENDS", wide: true), .init("EPOCH", wide: true),
        .init("KEY AGE", wide: true), .init("DROPS", wide: true),
        .init("LAST ERROR", wide: true),
      ], ifEmpty: "There are no tunnels.")
    table.rows = tunnels.map { tunnel in
      let drops = tunnel.drops.filter { $0.value > 0 }.sorted { $0.key < $1.key }
      return [
        "\(tunnel.slice)", "\(tunnel.cluster)",
        Table.Cell(tunnel.state.rawValue, tone(tunnel.state)),
        Table.Cell(Age.text(tunnel.roundTripMilliseconds)),
        Table.Cell(tunnel.loss.map { "\(Int(($0 * 100).rounded()))%" }),
        "\(tunnel.sentPackets)", "\(tunnel.receivedPackets)", Table.Cell(tunnel.cipher),
        Table.Cell(tunnel.relay), Table.Cell(tunnel.gateway), Table.Cell(tunnel.replica),
        Table.Cell(tunnel.endpoint), Table.Cell(tunnel.isTranslated.map { $0 ? "yes" : "no" }),
        Table.Cell(Age.text(tunnel.jitterMilliseconds)),
        Table.Cell(tunnel.pathSize.map { String($0) }),
        Table.Cell(tunnel.localCertificateExpiresAt.map { "\($0)" }),
        Table.Cell(tunnel.epoch.map { String($0) }),
        Table.Cell(tunnel.keyAgeMilliseconds.map { "\($0 / 1000)s" }),
        Table.Cell(drops.map { "\($0.key)=\($0.value)" }.joined(separator: ",")),
        Table.Cell(tunnel.lastError),
      ]
    }
    return table
  }

  static func tone(_ state: APITunnel.State) -> TextStyle.Tone {
    switch state {
    case .established: .good
    case .waiting, .connecting: .warning
    case .unreachable: .bad
    }
  }

  public static func grants(_ grants: [APIGrant], now: APITime) -> Table {
    var table = Table(
      [
        .init("ID"), .init("SUBJECT"), .init("CAPABILITIES"), .init("STATE"), .init("ENDS"),
        .init("DELEGATES", right: true), .init("LIVE", right: true), .init("GIVEN"),
        .init("UNDER", wide: true), .init("BY", wide: true), .init("MESSAGE", wide: true),
        .init("DETAIL", wide: true),
      ], ifEmpty: "There are no grants.")
    table.rows = grants.map { grant in
      let subject =
        grant.subject?.short
        ?? "root (\(grant.rootThreshold ?? 1) of \(grant.rootKeys?.count ?? 1))"
      return [
        "\(grant.id.short)", Table.Cell(subject),
        Table.Cell(ChangesetSummary.capabilities(grant.capabilities)),
        Table.Cell(grant.state.rawValue, tone(grant.state)),
        Table.Cell(grant.notAfter.map { Age.text($0, now: now) } ?? "never"),
        "\(grant.delegationDepth)", "\(grant.changesets)", Table.Cell(Age.text(grant.at, now: now)),
        Table.Cell(grant.under?.short), Table.Cell(grant.author?.short), Table.Cell(grant.message),
        Table.Cell(grant.detail),
      ]
    }
    return table
  }

  static func tone(_ state: APIGrant.State) -> TextStyle.Tone {
    switch state {
    case .valid: .good
    case .pending: .warning
    case .expired, .superseded: .faint
    case .void: .bad
    }
  }

  public static func registers(_ registers: [APIRegister], now: APITime) -> Table {
    var table = Table(
      [
        .init("PATH"), .init("SCOPE"), .init("CHANGED"), .init("BY"), .init("VALUES", right: true),
        .init("VALUE"), .init("CHANGESET", wide: true),
      ], ifEmpty: "There are no such registers.")
    table.rows = registers.map { register in
      let first = register.values.first
      return [
        "\(register.path)", "\(register.scope)",
        Table.Cell(first.map { Age.text($0.at, now: now) }), Table.Cell(first?.author.short),
        Table.Cell("\(register.values.count)", register.isConflict ? .bad : .plain),
        Table.Cell(register.effective.map { PlanWords.show($0) } ?? "(deleted)"),
        Table.Cell(first?.changeset.short),
      ]
    }
    return table
  }

  public static func log(_ entries: [CheckedLogEntry], now: APITime) -> Table {
    var table = Table(
      [
        .init("WHEN"), .init("ID"), .init("AUTHOR"), .init("STATE"), .init("SIGNATURE"),
        .init("WHAT"), .init("REASON"), .init("SCOPE", wide: true), .init("UNDER", wide: true),
        .init("AT", wide: true),
      ], ifEmpty: "There is nothing in the log.")
    table.rows = entries.map { entry in
      let changeset = entry.changeset
      return [
        Table.Cell(Age.text(changeset.at, now: now)), "\(changeset.id.short)",
        "\(changeset.author.short)",
        Table.Cell(
          changeset.state.rawValue, changeset.state == .counting ? .good : .warning),
        Table.Cell(
          entry.signature.rawValue,
          entry.signature == .valid ? .good : entry.signature == .invalid ? .bad : .faint),
        Table.Cell(ChangesetSummary.text(changeset)), Table.Cell(changeset.reason),
        "\(changeset.scope)", "\(changeset.under.short)", "\(changeset.at)",
      ]
    }
    return table
  }

  public static func conflicts(_ conflicts: [APIConflict]) -> Table {
    var table = Table(
      [
        .init("KIND"), .init("SUBJECT"), .init("WHAT"), .init("WHAT TO DO"),
        .init("SCOPE", wide: true),
      ],
      ifEmpty: "There are no conflicts.")
    table.rows = conflicts.map { conflict in
      [
        Table.Cell(conflict.kind.rawValue, .bad), "\(conflict.subject)",
        Table.Cell(conflict.detail),
        Table.Cell(conflict.fix), "\(conflict.scope)",
      ]
    }
    return table
  }
}

/// A register's value in one line.
enum PlanWords {
  static let width = 80

  static func show(_ value: Value) -> String {
    let text = OutputTree(value).flow
    return text.count <= width ? text : text.prefix(width - 1) + "…"
  }
}
