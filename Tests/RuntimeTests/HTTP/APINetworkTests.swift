import Base
import Foundation
import Testing

@testable import Runtime

@Suite struct APINetworkTests {
  @Test func readersSign() async throws {
    try await APIServerFixture.with { server in
      let target = "/v1/log?limit=3"
      let answer = try await server.network(target, fields: server.signature(of: target))
      #expect(answer.status == 200)
      let unsigned = try await server.network(target)
      #expect(unsigned.status == 401)
      #expect(unsigned.headers["www-authenticate"] == "Signature")
      #expect(try unsigned.problem.code == "unsigned")
    }
  }

  @Test func expiredReplayedAndAlteredRequestsAreRefused() async throws {
    try await APIServerFixture.with { server in
      let target = "/v1/status"
      let old = try await server.network(
        target, fields: server.signature(of: target, ageSeconds: 70))
      #expect(old.status == 401)
      #expect(try old.problem.detail.contains("was made at"))
      let fields = server.signature(of: target)
      #expect(try await server.network(target, fields: fields).status == 200)
      let again = try await server.network(target, fields: fields)
      #expect(again.status == 401)
      #expect(try again.problem.detail == "This request was made before.")
      let other = try await server.network("/v1/log", fields: server.signature(of: target))
      #expect(try other.problem.detail == "The signature does not verify.")
      #expect(
        server.registry.counter(
          "starling_api_refused_total",
          help: "", labels: ["reason": "signature"]
        ).value == 3)
    }
  }

  @Test func keysWithoutReadAreRefused() async throws {
    try await APIServerFixture.with { server in
      let fields = server.signature(of: "/v1/status", by: SigningKey())
      let answer = try await server.network("/v1/status", fields: fields)
      #expect(answer.status == 403)
      #expect(try answer.problem.code == "forbidden")
    }
  }

  @Test func changesetsNeedNoSignatureAndHaveARate() async throws {
    try await APIServerFixture.with(pushesPerMinute: 1) { server in
      var statuses: [UInt] = []
      for i in 0..<12 {
        statuses.append(try await server.network("/v1/changesets", post: [UInt8(i)]).status)
      }
      #expect(statuses.prefix(10).allSatisfy { $0 == 200 })
      #expect(statuses.suffix(1) == [429])
      let answer = try await server.network("/v1/changesets", post: [1])
      #expect(answer.headers["retry-after"] == "1")
      // The socket has no such rate.
      for _ in 0..<20 {
        #expect(try await server.local("/v1/changesets", post: [1]).status == 200)
      }
    }
  }

  @Test func whatChangesThePeerIsLocal() async throws {
    try await APIServerFixture.with { server in
      for path in ["/v1/join", "/v1/backup", "/v1/nothing"] {
        let answer = try await server.network(path, post: [1])
        #expect(answer.status == 403, "\(path)")
        #expect(try answer.problem.code == "localOnly")
      }
      // Health is for the metrics listener; here even its absence is not told to strangers.
      #expect(try await server.network("/metrics").status == 401)
    }
  }

  @Test func garbageIsNoCrash() async throws {
    try await APIServerFixture.with { server in
      var rng = SeededGenerator(seed: 3)
      for port in [server.metricsPort, server.networkPort] {
        for _ in 0..<20 {
          let bytes =
            (0..<200).map { _ in UInt8.random(in: 0...255, using: &rng) } + [13, 10, 13, 10]
          _ = try await server.raw(bytes, port: port)
        }
      }
      func head(_ text: String) async throws -> String {
        let answer = try await server.raw(Array((text + "\r\n\r\n").utf8), port: server.metricsPort)
        return String(answer.prefix { $0 != "\r\n" && $0 != "\r" })
      }
      #expect(try await head("nonsense").contains("400"))
      #expect(try await head("GET / HTTP/9.9\r\nHost: a").contains("400"))
      let long = String(repeating: "a", count: 20_000)
      #expect(!(try await head("GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: \(long)").contains("200")))
      let many = (0..<200).map { "\r\nX-\($0): 1" }.joined()
      #expect(!(try await head("GET /healthz HTTP/1.1\r\nHost: a\(many)").contains("200")))
      let body = "GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff"
      #expect(try await head(body).contains("400"))
      #expect(try await server.health("/healthz").status == 200)
    }
  }

  @Test func plainHTTPOnTheTLSPortIsRefused() async throws {
    try await APIServerFixture.with { server in
      let answer = try await server.raw(
        Array("GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n".utf8), port: server.networkPort)
      #expect(!answer.contains("HTTP/1.1"))
    }
  }
}

@Suite struct RateLimiterTests {
  let a = IPAddress(v4: 1)
  let b = IPAddress(v4: 2)

  func at(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64(seconds * 1e9)) }

  @Test func sourcesDoNotDisturbOneAnother() {
    let limiter = RateLimiter(perMinute: 60, burst: 2)
    #expect(limiter.admits(a, at: at(0)))
    #expect(limiter.admits(a, at: at(0)))
    #expect(!limiter.admits(a, at: at(0.5)))
    #expect(limiter.admits(b, at: at(0.5)))
    #expect(limiter.admits(a, at: at(1.01)))
    #expect(!limiter.admits(a, at: at(1.02)))
  }

  @Test func prefixesOfIPv6AreOneSource() throws {
    let limiter = RateLimiter(perMinute: 60, burst: 1)
    #expect(limiter.admits(try #require(IPAddress("2001:db8::1")), at: at(0)))
    #expect(!limiter.admits(try #require(IPAddress("2001:db8::2")), at: at(0)))
    #expect(limiter.admits(try #require(IPAddress("2001:db8:0:1::1")), at: at(0)))
  }

  @Test func theTableIsBounded() {
    let limiter = RateLimiter(perMinute: 60, burst: 1)
    var admitted = 0
    for i in 0..<10_000 where limiter.admits(IPAddress(v4: UInt32(i)), at: at(0)) { admitted += 1 }
    #expect(limiter.sourceCount == RateLimiter.sourceLimit)
    #expect(admitted == RateLimiter.sourceLimit + 1)
    #expect(limiter.admits(IPAddress(v4: 20_000), at: at(10)), "rested sources make room")
    #expect(limiter.sourceCount == 1)
  }
}
