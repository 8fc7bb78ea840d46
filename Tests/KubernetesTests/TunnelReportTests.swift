import Base
import Kubernetes
import Testing

@Suite struct TunnelReportTests {
  private func report(
    _ gateway: Int, _ states: [String: TunnelReport.State], pod: String? = nil, at second: Int = 0
  ) -> SliceGatewayReport {
    SliceGatewayReport(
      slice: "blue", gateway: "\(gateway)", pod: pod ?? "gw\(gateway)", listen: "0.0.0.0:7900",
      tunnels: states.sorted { $0.key < $1.key }.map {
        TunnelReport(remote: $0.key, replica: "0", state: $0.value)
      }, reported: "2026-01-01T00:00:\(second < 10 ? "0" : "")\(second)Z")
  }

  private func object(_ report: SliceGatewayReport) -> KubernetesObject {
    KubernetesObject(
      .sliceGateways,
      ObjectKey(name: GatewayWorkloads.reportName(report.slice, Int(report.gateway) ?? 0)),
      [
        "spec": ["slice": .string(report.slice), "gateway": .string(report.gateway)],
        "status": report.status(over: nil, now: 1_767_225_600_000),
      ])
  }

  private struct World {
    var objects = ClusterObjects()
    var reports = TunnelReports()

    mutating func put(_ object: KubernetesObject, at seconds: Int64) {
      objects.put(object, .sliceGateways)
      reports.update(
        objects, changed: [ObjectID(.sliceGateways, object.key)],
        now: .zero + .seconds(seconds))
    }

    func reachable(_ pods: Set<String>? = ["gw0", "gw1"], at seconds: Int64) -> Set<String>? {
      reports.reachable("blue", pods: pods, now: .zero + .seconds(seconds))
    }
  }

  @Test func whatIsWrittenIsRead() throws {
    var tunnel = TunnelReport(remote: "us", replica: "1", state: .established)
    tunnel.texts = [.endpoint: "192.0.2.1:7900", .cipher: "TLS_AES_256_GCM_SHA384"]
    tunnel.figures = [.epoch: 3, .roundTripMicroseconds: 12_340, .lossPermille: 2]
    tunnel.isTranslated = false
    var report = report(0, [:])
    report.tunnels = [tunnel]
    let read = try #require(SliceGatewayReport(object(report)))
    #expect(read == report)
    let status = report.status(over: nil, now: 0)
    #expect(status["up"] == "1/1" && status["roundTrip"] == "12.3ms" && status["loss"] == "0.2%")
    #expect(status["conditions"]?.array?.first?["reason"] == "Established")
    #expect(TunnelReport(["remote": "us", "replica": "0", "state": "Perhaps"]) == nil)
  }

  @Test func peopleAreToldOfTunnels() {
    func told(_ report: SliceGatewayReport) -> [String] {
      TunnelStatements.of(report, on: object(report)).map { "\($0.reason): \($0.note)" }.sorted()
    }
    var report = report(0, ["eu": .established, "us": .unreachable, "asia": .connecting])
    report.tunnels.append(TunnelReport(remote: "eu", replica: "1", state: .unreachable))
    #expect(
      told(report) == [
        "TunnelEstablished: cluster eu can be reached",
        "TunnelUnreachable: no tunnel to cluster us answers",
      ])
    report.tunnels = [TunnelReport(remote: "eu", replica: "0", state: .established)]
    report.tunnels[0].figures[.localCertificateExpiry] = 1_767_225_600
    #expect(
      told(report).first == "CertificateInUse: its certificate is valid until 2026-01-01T00:00:00Z")
    report.failure = "there is no TUN device"
    #expect(told(report).contains("SliceNotServed: there is no TUN device"))
    report.isSilent = true
    #expect(told(report) == ["GatewaySilent: the gateway's process says nothing"])
  }

  @Test func membershipDecidesUntilSomebodySpeaks() {
    var world = World()
    #expect(world.reachable(at: 0) == nil)
    world.put(
      KubernetesObject(
        .sliceGateways, ObjectKey(name: "blue.0"), ["spec": ["slice": "blue", "gateway": "0"]]),
      at: 0)
    #expect(world.reachable(at: 0) == nil)
    world.put(object(report(0, ["us": .established, "ap": .unreachable])), at: 1)
    #expect(world.reachable(at: 1) == ["us"])
  }

  @Test func lastWordsStandWhileNobodySpeaks() {
    var world = World()
    world.put(object(report(0, ["us": .established])), at: 0)
    world.put(object(report(1, ["us": .established])), at: 0)
    // Hours without a word, from a dead feed or a server that is away.
    #expect(world.reachable(at: 10_000) == ["us"])
  }

  @Test func whoSpeaksCounts() {
    var world = World()
    world.put(object(report(0, ["us": .established])), at: 0)
    world.put(object(report(1, ["us": .established])), at: 0)
    world.put(object(report(1, ["us": .unreachable], at: 1)), at: 60)
    // The first one fell silent a while ago: it does not keep a cluster in that was cut off.
    #expect(world.reachable(at: 60) == [])
    world.put(object(report(0, ["us": .established], at: 2)), at: 61)
    #expect(world.reachable(at: 61) == ["us"])
  }

  @Test func whatAPodSaidThatIsGoneIsOver() {
    var world = World()
    world.put(object(report(0, ["us": .established], pod: "old")), at: 0)
    // A new one has not spoken yet.
    #expect(world.reachable(["new"], at: 1) == nil)
    #expect(world.reachable([], at: 1) == [])
    #expect(world.reachable(nil, at: 1) == ["us"])
    world.put(object(report(1, ["ap": .established])), at: 1)
    #expect(world.reachable(["new", "gw1"], at: 1) == ["ap"])
  }
}
