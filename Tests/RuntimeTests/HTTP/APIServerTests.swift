import AsyncHTTPClient
import Base
import Foundation
import NIOCore
import NIOHTTP1
import Replication
import Synchronization
import Testing

@testable import Runtime

@Suite struct APIServerTests {
  @Test func theSocketAnswersWithoutASignature() async throws {
    try await APIServerFixture.with { server in
      let status = try await server.local("/v1/status")
      #expect(status.status == 200)
      #expect(status.headers["content-type"] == "application/json")
      #expect(try status.decoded(APIStatus.self).cluster == "eu-1")
      #expect(try await server.local("/v1/slices").decoded([APISlice].self)[0].name == "blue")
      #expect(
        try await server.local("/v1/slices/blue").decoded(APISlice.self).spec["dns"]?["ttl"]
          == "2s")
      for path in [
        "members", "genesis", "grants", "conflicts", "services", "tunnels", "log",
        "changesets/\(server.peer.id.hex)", "explain?name=web.shop.svc.slice.local",
      ] {
        #expect(try await server.local("/v1/" + path).status == 200, "\(path)")
      }
      let mode = try FileManager.default.attributesOfItem(atPath: server.socket)[
        .posixPermissions]
      #expect(mode as? Int == 0o660)
    }
  }

  @Test func parametersReachThePeer() async throws {
    try await APIServerFixture.with { server in
      let registers = try await server.local("/v1/registers?scope=slice/blue&prefix=slice%2Fbl")
        .decoded(APIRegisters.self)
      #expect(registers.registers[0].effective?["prefix"] == "slice/bl")
      #expect(registers.registers[0].effective?["scope"] == "slice/blue")
      _ = try await server.local("/v1/log")
      _ = try await server.local("/v1/log?limit=7&path=slice/blue&rejected=true")
      #expect(
        server.peer.queries.withLock { $0 } == [
          APILogQuery(), APILogQuery(limit: 7, path: "slice/blue", rejected: true),
        ])
    }
  }

  @Test(arguments: [
    ("/v1/nothing", UInt(404), "notFound"), ("/", 404, "notFound"),
    ("/v1/slices/red", 404, "notFound"), ("/v1/log?limit=0", 400, "badRequest"),
    ("/v1/log?limit=x", 400, "badRequest"), ("/v1/log?rejected=maybe", 400, "badRequest"),
    ("/v1/log?limt=5", 400, "badRequest"), ("/v1/log?limit=5&limit=6", 400, "badRequest"),
    ("/v1/registers?scope=x", 400, "badRequest"), ("/v1/changesets/xyz", 400, "badRequest"),
    ("/v1/explain", 400, "badRequest"), ("/v1/explain?name=a&slice=b", 400, "badRequest"),
    ("/v1/explain?name=", 400, "badRequest"),
    ("/v1/status?verbose=1", 400, "badRequest"),
  ])
  func whatIsWrongIsAProblemDocument(_ target: String, _ status: UInt, _ code: String) async throws
  {
    try await APIServerFixture.with { server in
      let answer = try await server.local(target)
      #expect(answer.status == status)
      let problem = try answer.problem
      #expect(problem.code == code)
      #expect(problem.status == Int(status))
      #expect(!problem.title.isEmpty)
    }
  }

  @Test func changesetsArePushed() async throws {
    try await APIServerFixture.with { server in
      let answer = try await server.local("/v1/changesets", post: [1, 2, 3])
      #expect(try answer.decoded(APIPushAnswer.self).results[0].outcome == .accepted)
      #expect(server.peer.pushed.withLock { $0 } == [[1, 2, 3]])
      let empty = try await server.local("/v1/changesets", post: [])
      #expect(empty.status == 400)
      let typed = try await server.local("/v1/changesets", post: [1], type: "text/plain")
      #expect(typed.status == 415)
      #expect(try typed.problem.code == "mediaType")
    }
  }

  @Test func bodiesAreBounded() async throws {
    try await APIServerFixture.with { server in
      let most = [UInt8](repeating: 7, count: APILimits.bodyBytes)
      #expect(try await server.local("/v1/changesets", post: most).status == 200)
      #expect(server.peer.pushed.withLock { $0.count } == 1)
      // What is too large is refused by its announced length, or when it gets there.
      let head =
        "POST /v1/changesets HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\n"
      let announced = try await server.raw(
        Array((head + "Content-Length: \(APILimits.bodyBytes + 1)\r\n\r\nabc").utf8))
      #expect(announced.hasPrefix("HTTP/1.1 413 "))
      #expect(announced.contains("\"code\":\"tooLarge\""))
      let chunk = "100000\r\n" + String(repeating: "x", count: 1 << 20) + "\r\n"
      let chunked = try await server.raw(
        Array(
          (head + "Transfer-Encoding: chunked\r\n\r\n" + String(repeating: chunk, count: 5)).utf8))
      #expect(chunked.hasPrefix("HTTP/1.1 413 "))
      let token = try await server.raw(
        Array("POST /v1/join HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n{".utf8))
      #expect(token.hasPrefix("HTTP/1.1 413 "))
      let get = try await server.raw(
        Array("GET /v1/status HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n".utf8))
      #expect(get.hasPrefix("HTTP/1.1 400 "))
      #expect(server.peer.pushed.withLock { $0.count } == 1)
    }
  }

  func join(_ server: APIServerFixture, _ body: String) async throws -> APIServerFixture.Answer {
    try await server.local("/v1/join", post: Array(body.utf8), type: "application/json")
  }

  @Test func joiningTakesAToken() async throws {
    try await APIServerFixture.with { server in
      let good = try await join(server, "{\"token\":\"good\"}")
      #expect(try good.decoded(APIJoinAnswer.self).phase == .joining)
      let bad = try await join(server, "{\"token\":\"bad\"}")
      #expect(try bad.problem.detail == "The token is damaged.")
      #expect(try await join(server, "token").status == 400)
    }
  }

  @Test func backupsAreStreamed() async throws {
    try await APIServerFixture.with { server in
      let answer = try await server.local("/v1/backup", post: [])
      #expect(answer.body.count == 1_000_000)
      #expect(answer.headers["content-disposition"] == "attachment; filename=\"a_b_.db\"")
    }
  }

  @Test func progressIsAStreamOfEvents() async throws {
    try await APIServerFixture.with { server in
      let answer = try await server.local("/v1/changesets/\(server.peer.id.hex)/progress")
      #expect(answer.headers["content-type"] == "text/event-stream")
      #expect(
        answer.text == """
          : ok

          event: expected
          data: {"clusters":["a","b"],"dead":[]}

          event: confirmed
          data: {"cluster":"a","confirmed":1,"elapsedMilliseconds":1.5,"total":2}

          event: done
          data: {"confirmed":1,"elapsedMilliseconds":9,"missing":["b"],"total":2}


          """)
    }
  }

  @Test(.timeLimit(.minutes(1))) func stoppingEndsStreams() async throws {
    try await APIServerFixture.with { server in
      let path = server.socket.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
      let target = "/v1/changesets/\(server.peer.id.hex)/progress?timeoutMilliseconds=1"
      let response = try await server.client.execute(
        .init(url: "http+unix://\(path)\(target)"), timeout: .seconds(20))
      #expect(response.status == .ok)
      // Left open on purpose: the fixture's graceful stop must not wait for the endless stream.
    }
  }

  @Test func errorsOfThePeerDoNotLeak() async throws {
    try await APIServerFixture.with { server in
      server.peer.failure.withLock { $0 = FakePeer.Bug() }
      let answer = try await server.local("/v1/status")
      #expect(answer.status == 500)
      #expect(!answer.text.contains("Bug"))
      server.peer.failure.withLock { $0 = APIProblem.unavailable("The disk is full.", fix: "rm") }
      let other = try await server.local("/v1/status")
      #expect(other.status == 503)
      #expect(try other.problem.fix == "rm")
    }
  }

  @Test func healthIsPlain() async throws {
    try await APIServerFixture.with { server in
      #expect(try await server.health("/healthz").text == "ok\n")
      #expect(try await server.health("/readyz").status == 200)
      server.peer.ready.withLock { $0 = false }
      let answer = try await server.health("/readyz")
      #expect(answer.status == 503)
      #expect(try answer.decoded(APIReadiness.self).storage.detail == "disk full")
      #expect(try await server.health("/v1/status").status == 404)
      let metrics = try await server.health("/metrics")
      #expect(metrics.headers["content-type"] == PrometheusText.mediaType)
      #expect(
        metrics.text.contains(
          "starling_api_requests_total{listener=\"metrics\",method=\"GET\",route=\"/readyz\","
            + "status=\"503\"} 1\n"))
      #expect(metrics.text.contains("route=\"NotFound\",status=\"404\"} 1\n"))
      #expect(try await server.local("/healthz").status == 200)
    }
  }
}
