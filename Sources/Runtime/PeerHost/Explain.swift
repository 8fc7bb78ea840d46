internal import Base
internal import Peer
internal import Replication
internal import Slices

extension PeerHost {
  /// Walks the chain from the signed change to the packet, and stops where it breaks.
  public func explain(_ subject: APIExplainSubject) async throws -> APIExplanation {
    switch subject {
    case .slice(let name):
      var walk = ExplainWalk("slice \(name)")
      _ = try await explain(slice: name, &walk)
      return walk.result
    case .tunnel(let text):
      let parts = text.split(separator: "/").map(String.init)
      var walk = ExplainWalk("tunnel \(text)")
      let wanted = try await tunnels().filter {
        $0.cluster == parts.last && (parts.count < 2 || $0.slice == parts[0])
      }
      walk.step(
        "a tunnel is wanted", !wanted.isEmpty, "\(wanted.count) slices link the two clusters",
        fix: "Both clusters have to be members of one slice whose topology links them.")
      for tunnel in wanted { explain(tunnel: tunnel, &walk) }
      return walk.result
    case .name(let name):
      return try await explain(name: name)
    }
  }

  private func explain(name: String) async throws -> APIExplanation {
    var walk = ExplainWalk("name \(name)")
    let all = try await services()
    let plain = name.hasSuffix(".") ? String(name.dropLast()) : name
    let service = all.first { $0.names.contains(plain) }
    guard let service else {
      let labels = plain.split(separator: ".").map(String.init)
      let hint = all.first { labels.contains($0.name) }?.names.first
      walk.step(
        "the service is exported into a slice of this cluster", false,
        "no service of any slice here has that name",
        fix: hint.map { "Did you mean \($0)?" }
          ?? "Export it where it runs, and see that both clusters are members of the slice.")
      return walk.result
    }
    walk.step(
      "the service is exported", true,
      "\(service.namespace)/\(service.name) by "
        + service.exporters.map(\.cluster).joined(separator: ", "))
    guard try await explain(slice: service.slice, &walk) else { return walk.result }
    let ready = service.exporters.contains { $0.endpoints.contains(where: \.ready) }
    walk.step(
      "it has ready endpoints", ready,
      "\(service.exporters.reduce(0) { $0 + $1.endpoints.count { $0.ready } }) ready",
      fix: "Look at the service in the exporting cluster.")
    let tunnels = try await self.tunnels()
    for exporter in service.exporters where !exporter.isLocal {
      for tunnel in tunnels
      where tunnel.slice == service.slice
        && tunnel.cluster == exporter.cluster
      {
        explain(tunnel: tunnel, &walk)
      }
    }
    walk.step(
      "the name is answered", !service.answers.isEmpty,
      service.answers.isEmpty ? "with nothing" : service.answers.joined(separator: ", "),
      fix: "No exporter can be reached: see the tunnels above.")
    return walk.result
  }

  private func explain(slice name: String, _ walk: inout ExplainWalk) async throws -> Bool {
    let engine = try joinedEngine()
    guard let slice = try await slices().first(where: { $0.name == name }) else {
      walk.step(
        "the slice is in the signed state", false, "there is no slice \(name) here",
        fix: "Apply its manifest, or see whether this peer is in touch: starling members.")
      return false
    }
    walk.step(
      "the slice is in the signed state", true,
      "by \(slice.changedBy?.short ?? "?") at \(slice.changedAt.map { "\($0)" } ?? "?")")
    walk.step(
      "it is valid and in force", slice.state != .invalid && slice.state != .addressConflict,
      slice.detail.isEmpty ? slice.state.rawValue : slice.detail,
      fix: "See: starling describe slice \(name)")
    let local = slice.members.first { $0.cluster == engine.identity.cluster }
    walk.step(
      "this cluster takes part", local?.state == .active,
      local.map { "\($0.state.rawValue) \($0.detail)" } ?? "it is no member",
      fix: "starling slice join \(name) \(engine.identity.cluster) --namespace NAMESPACE")
    if let problem = current?.platform?.gatewayProblem {
      walk.step("the gateway runs", false, problem, fix: "Mend it and restart starlingd.")
    }
    return !walk.hasFailed
  }

  private func explain(tunnel: APITunnel, _ walk: inout ExplainWalk) {
    let detail =
      switch tunnel.state {
      case .established:
        "\(tunnel.cipher ?? ""), round trip "
          + "\(tunnel.roundTripMilliseconds.map { "\($0)" } ?? "?") ms, loss "
          + "\(tunnel.loss.map { "\($0 * 100)" } ?? "?") %"
      default: tunnel.lastError ?? tunnel.state.rawValue
      }
    walk.step(
      "the tunnel to \(tunnel.cluster) in \(tunnel.slice) carries traffic",
      tunnel.state == .established, detail,
      fix: "UDP has to pass to \(tunnel.endpoint ?? "its endpoints"); see the logs of both sides.")
  }
}

/// The steps so far.
struct ExplainWalk {
  private let subject: String
  private var steps: [APIExplainStep] = []

  init(_ subject: String) {
    self.subject = subject
  }

  var hasFailed: Bool { steps.contains { $0.outcome == .failed } }

  mutating func step(_ title: String, _ isOK: Bool, _ detail: String, fix: String = "") {
    steps.append(
      APIExplainStep(
        title: title, outcome: isOK ? .ok : .failed, detail: detail, fix: isOK ? "" : fix))
  }

  var result: APIExplanation {
    let broken = steps.first { $0.outcome == .failed }
    return APIExplanation(
      subject: subject, verdict: broken == nil ? .ok : .failed,
      summary: broken.map { "\(subject): it breaks at \"\($0.title)\": \($0.detail)" }
        ?? "\(subject): all is well",
      steps: steps)
  }
}
