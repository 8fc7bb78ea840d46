internal import Base
internal import FoundationEssentials
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import Replication

/// The endpoints, v1. Each reads its parameters, asks the peer and encodes the answer.
struct APIRoutes: Sendable {
  let service: any PeerService

  func add(to router: Router<APIContext>) {
    addPeer(to: router.group("v1"))
    addState(to: router.group("v1"))
    addNetwork(to: router.group("v1"))
    addChangesets(to: router.group("v1"))
  }

  // MARK: The peer and its ClusterSet

  private func addPeer(to v1: RouterGroup<APIContext>) {
    v1.get("status") { request, _ in
      _ = try request.query()
      return try Response.json(try await service.status())
    }
    v1.get("members") { request, _ in
      _ = try request.query()
      return try Response.json(try await service.members())
    }
    v1.get("members/events") { request, _ in
      _ = try request.query()
      return ServerSentEvents.response(try await service.memberEvents()) { try .init("member", $0) }
    }
    v1.get("genesis") { request, _ in
      _ = try request.query()
      return try Response.json(try await service.genesis())
    }
    v1.post("join") { request, _ in
      let body = try await request.wholeBody(upTo: APILimits.tokenBytes + 1024)
      guard let join = try? JSONDecoder().decode(APIJoinRequest.self, from: Data(body)) else {
        throw APIProblem.badRequest("The body is not {\"token\": \"...\"}.")
      }
      return try Response.json(try await service.join(token: join.token))
    }
    v1.post("backup") { _, _ in
      let backup = try await service.backup()
      // It may stand in a header, and in a shell, wherever it came from.
      let name = String(
        backup.fileName.unicodeScalars.map { scalar -> Character in
          scalar.isASCII
            && (scalar.properties.isAlphabetic || "0123456789.-_".contains("\(scalar)"))
            ? Character(scalar) : "_"
        })
      return Response(
        status: .ok,
        headers: [
          .contentType: "application/octet-stream", .cacheControl: "no-store",
          .contentDisposition: "attachment; filename=\"\(name)\"",
        ],
        body: .init { writer in
          for try await chunk in backup.chunks {
            try await writer.write(ByteBuffer(bytes: chunk))
          }
          try await writer.finish(nil)
        })
    }
  }

  // MARK: Replicated state

  private func addState(to v1: RouterGroup<APIContext>) {
    v1.get("registers") { request, _ in
      let query = try request.query(allowing: "scope", "prefix")
      let scope = try query["scope"].map { text throws(APIProblem) in
        guard let scope = Scope(text) else {
          throw .badRequest("scope is not known.", fix: "Use clusterset or slice/<name>.")
        }
        return scope
      }
      return try Response.json(
        try await service.registers(scope: scope, prefix: query["prefix"] ?? ""))
    }
    v1.get("grants") { request, _ in
      _ = try request.query()
      return try Response.json(try await service.grants())
    }
    v1.get("grants/{id}") { request, context in
      _ = try request.query()
      return try Response.json(try await service.grant(id: try Self.digest(context)))
    }
    v1.get("conflicts") { request, _ in
      _ = try request.query()
      return try Response.json(try await service.conflicts())
    }
    v1.get("log") { request, _ in
      let query = try request.query(allowing: "limit", "path", "rejected")
      let log = APILogQuery(
        limit: try Self.integer("limit", in: query, 1...APILogQuery.maximumLimit) ?? 50,
        path: query["path"], rejected: try Self.bool("rejected", in: query) ?? false)
      return try Response.json(try await service.log(log))
    }
  }

  // MARK: Slices, services, tunnels

  private func addNetwork(to v1: RouterGroup<APIContext>) {
    v1.get("slices") { request, _ in
      _ = try request.query()
      return try Response.json(try await service.slices())
    }
    v1.get("slices/{name}") { request, context in
      _ = try request.query()
      return try Response.json(
        try await service.slice(named: try context.parameters.require("name")))
    }
    v1.get("services") { request, _ in
      _ = try request.query()
      return try Response.json(try await service.services())
    }
    v1.get("tunnels") { request, _ in
      _ = try request.query()
      return try Response.json(try await service.tunnels())
    }
    v1.get("explain") { request, _ in
      let query = try request.query(allowing: "name", "slice", "tunnel")
      guard query.count == 1, let (kind, text) = query.first, !text.isEmpty else {
        throw APIProblem.badRequest("Exactly one of name, slice and tunnel is asked for.")
      }
      let subject: APIExplainSubject =
        switch kind {
        case "name": .name(text)
        case "slice": .slice(text)
        default: .tunnel(text)
        }
      return try Response.json(try await service.explain(subject))
    }
  }

  // MARK: Changesets

  private func addChangesets(to v1: RouterGroup<APIContext>) {
    v1.post("changesets") { request, _ in
      let type = request.headers[.contentType]?.prefix { $0 != ";" } ?? ""
      guard type == "application/x-protobuf" || type == "application/protobuf" else {
        throw APIProblem(
          code: "mediaType", status: 415, title: "The body is of another type",
          detail: "Content-Type is not application/x-protobuf.",
          fix: "Send signed changesets as `starling push` does.")
      }
      let body = try await request.wholeBody()
      guard !body.isEmpty else { throw APIProblem.badRequest("The body is empty.") }
      return try Response.json(try await service.push(body))
    }
    v1.get("changesets/{id}") { request, context in
      _ = try request.query()
      return try Response.json(try await service.changeset(id: try Self.digest(context)))
    }
    v1.get("changesets/{id}/progress") { request, context in
      let query = try request.query(allowing: "timeoutMilliseconds")
      let timeout = try Self.integer("timeoutMilliseconds", in: query, 1...600_000) ?? 30_000
      let progress = try await service.progress(
        of: try Self.digest(context), timeoutMilliseconds: UInt64(timeout))
      return ServerSentEvents.response(progress) { step in
        switch step {
        case .expected(let event): try .init("expected", event)
        case .confirmed(let event): try .init("confirmed", event)
        case .done(let event): try .init("done", event)
        }
      }
    }
  }

  // MARK: Parameters

  private static func digest(_ context: APIContext) throws -> Digest {
    guard let digest = Digest(hex: try context.parameters.require("id")) else {
      throw APIProblem.badRequest("The ID is not 64 hexadecimal digits.")
    }
    return digest
  }

  private static func integer(
    _ name: String, in query: [String: String], _ range: ClosedRange<Int>
  ) throws(APIProblem) -> Int? {
    guard let text = query[name] else { return nil }
    guard let number = Int(text), range.contains(number) else {
      throw .badRequest(
        "\(name) is not a whole number from \(range.lowerBound) to \(range.upperBound).")
    }
    return number
  }

  private static func bool(
    _ name: String, in query: [String: String]
  ) throws(APIProblem) -> Bool? {
    switch query[name] {
    case nil: nil
    case "true", "1", "": true
    case "false", "0": false
    default: throw .badRequest("\(name) is neither true nor false.")
    }
  }
}

extension Parameters {
  fileprivate func require(_ name: String) throws(APIProblem) -> String {
    guard let text = get(name) else {
      throw .badRequest("\(name) is missing.")
    }
    return text
  }
}

/// What monitors ask, over plain HTTP and on the Unix socket.
struct HealthRoutes: Sendable {
  let service: any PeerService
  let registry: MetricsRegistry

  func add(to router: Router<APIContext>) {
    router.get("healthz") { _, _ in Response.text("ok\n") }
    router.get("readyz") { _, _ in
      let readiness = await service.readiness()
      return try Response.json(readiness, status: readiness.isReady ? .ok : .serviceUnavailable)
    }
    router.get("metrics") { _, _ in
      Response.text(
        String(decoding: PrometheusText.exposition(of: registry), as: UTF8.self),
        mediaType: PrometheusText.mediaType)
    }
  }
}
