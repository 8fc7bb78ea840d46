import Base
import Naming
import Slices
import Testing

/// Prints figures, asserts none: `STARLING_BENCH=1 swift test -c release --filter ResolverBenchmark`.
@Suite(.enabled(if: benchmarksAreOn)) struct ResolverBenchmark {
  @Test func queriesPerSecond() throws {
    var fixture = try Fixture()
    for number in 0..<1000 {
      try fixture.export(
        "svc-\(number)", from: "b",
        (0..<4).map { "10.11.\(16 + number / 64).\(number % 64 * 4 + $0)" })
    }
    let resolver = fixture.resolver
    for (label, name, type) in [
      ("A", "svc-%.shop.svc.slice.local", RecordType.a),
      ("SRV", "_http._tcp.svc-%.shop.svc.slice.local", RecordType.srv),
      ("NXDOMAIN", "no-%.shop.svc.slice.local", RecordType.a),
    ] {
      let queries = try (0..<256).map {
        DNSMessage(
          id: UInt16($0),
          questions: [
            .init(name: try #require(DomainName(name.replacing("%", with: "\($0)"))), type: type)
          ], edns: .init()
        ).encoded()
      }
      let count = 2_000_000
      var out = [UInt8](repeating: 0, count: 4096)
      var bytes = 0
      let time = ContinuousClock().measure {
        var span = out.mutableSpan
        for number in 0..<count {
          let query = queries[number & 255]
          let reply = resolver.answer(query.span, from: Fixture.client, over: .udp, into: &span)
          bytes += reply.length
        }
      }
      let nanoseconds = Double(time.nanoseconds) / Double(count)
      print(
        "\(label): \(Int(nanoseconds)) ns, \(Int(1e9 / nanoseconds)) a second, \(bytes / count) B")
    }
  }
}
