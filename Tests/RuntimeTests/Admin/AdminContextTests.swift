import Base
import Testing

@testable import Runtime

@Suite struct AdminContextTests {
  @Test func readsAndWrites() throws {
    let text = "clusterSet: prod\ngenesis: genesis\nkey: /keys/root.key\npeer: unix:///run/a.sock\n"
    let context = try AdminContext(parsing: text, path: "/home/ana/starling/config.yaml")
    #expect(context.genesis == "/home/ana/starling/genesis")
    #expect(context.key == "/keys/root.key")
    #expect(context.yaml == text)
  }

  @Test func refusesUnknownNames() {
    let error = #expect(throws: AdminError.self) {
      try AdminContext(parsing: "peer: unix:///a\nkeys: x\n", path: "c.yaml")
    }
    #expect(error?.message.hasPrefix("c.yaml:2: keys: is not known; did you mean key?") == true)
    #expect(error?.status == .usage)
  }

  @Test func findsItsFile() {
    let environment = ["HOME": "/home/ana", "STARLING_CONFIG": "/x/c.yaml"]
    #expect(AdminContext.path(flag: "/y", environment: environment) == "/y")
    #expect(AdminContext.path(flag: nil, environment: environment) == "/x/c.yaml")
    #expect(
      AdminContext.path(flag: nil, environment: ["HOME": "/home/ana"])
        == "/home/ana/.config/starling/config.yaml")
  }

  @Test func peerAddresses() throws {
    #expect(try PeerAddress("unix:///run/a b.sock") == .unix(path: "/run/a b.sock"))
    #expect(try PeerAddress("/run/a.sock") == .unix(path: "/run/a.sock"))
    #expect(
      try PeerAddress("https://peer.example.com") == .network(host: "peer.example.com", port: 7443))
    #expect(
      try PeerAddress("https://[2001:db8::1]:8443/").description == "https://[2001:db8::1]:8443")
    #expect(
      try PeerAddress("unix:///run/a b.sock").url("/v1/status")
        == "http+unix://%2Frun%2Fa%20b.sock/v1/status")
    #expect(try PeerAddress("https://a:443").authority == "a")
    for wrong in [
      "", "peer", "http://a", "https://", "https://a:0", "https://a:x", "https://a/b", "unix://a",
      "https://:1", "https://a@b",
    ] {
      #expect(throws: AdminError.self) { try PeerAddress(wrong) }
    }
  }

  @Test func passphrases() throws {
    var source = PassphraseSource(file: nil, environment: ["STARLING_PASSPHRASE": "hush"]) { _ in
      nil
    }
    #expect(try source.existing(for: "k") == "hush")
    source.environment = [:]
    let error = #expect(throws: AdminError.self) { try source.existing(for: "k") }
    #expect(error?.fix.contains("STARLING_PASSPHRASE_FILE") == true)
    source.ask = { $0.hasPrefix("New") ? "one" : "two" }
    #expect(throws: AdminError.self) { try source.new(for: "k") }
    source.ask = { _ in "same" }
    #expect(try source.new(for: "k") == "same")
    source.environment = ["STARLING_PASSPHRASE": ""]
    #expect(throws: AdminError.self) { try source.new(for: "k") }
  }

  @Test func serverSentEvents() throws {
    let text = ": ok\n\nevent: expected\ndata: {\"a\":1}\r\n\r\nevent: x\ndata: 1\ndata: 2\n\n"
    var parser = ServerEventParser()
    var events: [ServerEventParser.Event] = []
    // Chunks end anywhere.
    for byte in text.utf8 { events += try parser.read([byte]) }
    #expect(
      events == [
        .init(name: "expected", data: "{\"a\":1}"), .init(name: "x", data: "1\n2"),
      ])
    var flooded = ServerEventParser()
    #expect(throws: AdminError.self) {
      _ = try flooded.read(repeatElement(UInt8(ascii: "a"), count: ServerEventParser.limit + 1))
    }
  }

  @Test func explainSubjects() throws {
    #expect(
      try ExplainQuery.target("web.shop.svc.slice.local.")
        == "/v1/explain?name=web.shop.svc.slice.local")
    #expect(try ExplainQuery.target("slice/blue") == "/v1/explain?slice=blue")
    #expect(try ExplainQuery.target("tunnel/blue/us-1") == "/v1/explain?tunnel=blue%2Fus-1")
    for wrong in ["", "slice/", "a/b", "slice/a/b"] {
      #expect(throws: AdminError.self) { try ExplainQuery.target(wrong) }
    }
  }
}
