import Base
import Foundation
import Testing
import Tunnel

@testable import Runtime

/// Every metric stands in docs/operations.md.
@Suite struct DocumentedMetricsTests {
  private static let root = URL(filePath: #filePath).resolvingSymlinksInPath()
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  private static func documented() throws -> Set<String> {
    let text = try String(
      contentsOf: root.appending(path: "docs/operations.md"), encoding: .utf8)
    return Set(text.matches(of: /starling_[a-z_]+/).map { String($0.output) })
  }

  /// Names that stand in the sources as they are.
  @Test func literalNamesAreDescribed() throws {
    let sources = Self.root.appending(path: "Sources")
    let files = try FileManager.default.subpathsOfDirectory(atPath: sources.path)
    var names: Set<String> = []
    for file in files where file.hasSuffix(".swift") {
      let text = try String(contentsOf: sources.appending(path: file), encoding: .utf8)
      names.formUnion(text.matches(of: /"(starling_[a-z_]+)"/).map { String($0.output.1) })
    }
    #expect(names.count > 20)
    let missing = names.subtracting(try Self.documented()).sorted()
    #expect(missing.isEmpty, "not in docs/operations.md: \(missing.joined(separator: ", "))")
  }

  /// Those of tunnels and services, whose names are put together.
  @Test func namesOfTunnelsAreDescribed() throws {
    let figures = TrafficFigures(sent: .init(), received: .init())
    var counted = figures
    counted.sentPackets = 1
    let tunnel = TunnelStatus(
      slice: "blue", cluster: "us", replica: "0", state: .established, keyAge: .seconds(1),
      roundTripTime: .milliseconds(1), jitter: .zero, loss: 0, pathSize: 1_452, sentPackets: 1,
      sentBytes: 1, receivedPackets: 1, receivedBytes: 1,
      classes: [ClassTraffic(name: "standard", figures: counted)],
      drops: [DropCount(reason: "replayed", packets: 1)], localCertificateExpiry: 1,
      handshakes: 1, failedHandshakes: 0, rekeys: 0)
    let status = GatewayStatus(
      listen: IPEndpoint(IPAddress(v4: 0), port: 7_900), tunnels: [tunnel],
      drops: [DropCount(reason: "malformed", packets: 1)],
      queues: [
        QueueStatus(
          slice: "blue", className: "standard", bytes: 1, refusedPackets: 0, delayedPackets: 0,
          malformedPackets: 0, markedPackets: 0)
      ],
      services: [
        ServiceTraffic(
          slice: "blue", cluster: "us", exporter: "us", namespace: "shop", name: "web",
          figures: counted)
      ])
    let registry = MetricsRegistry()
    TunnelMetrics.set(status, in: registry)
    let names = Set(registry.families().map(\.name))
    #expect(names.count > 25)
    let missing = names.subtracting(try Self.documented()).sorted()
    #expect(missing.isEmpty, "not in docs/operations.md: \(missing.joined(separator: ", "))")
  }
}
