internal import Base
internal import Foundation
internal import Kubernetes
internal import Logging
internal import Nodes

/// Says in the SliceGateways of one gateway how its tunnels are: at once what changed of their state,
/// and every 15 s the figures.
actor GatewayReporter {
  private let transport: APITransport
  private let pod: String
  private let plan: String
  private let document: String
  private let logger: Logger
  private var told: [String: Told] = [:]
  private var known: [String: SliceGatewayReport] = [:]
  private var statusDate: Date?
  private var planDate: Date?
  private var subject: GatewayPlanFile?
  private var counts: [String: Counts] = [:]
  private var complaint = ""

  private struct Told {
    var urgent: [String] = []
    /// When it was told, or refused.
    var tried = Instant.zero
    var isTaken = false
  }

  /// Bytes of a tunnel at the last report, for rates.
  private struct Counts {
    var sent: Int64
    var received: Int64
    var at: Instant
    var rates: (sent: Int64, received: Int64) = (0, 0)
  }

  /// Between two reports of one slice, however much happens.
  static let pause: Duration = .milliseconds(250)
  static let retry: Duration = .seconds(2)

  init(_ transport: APITransport, _ subject: GatewayFeed.Subject, logger: Logger) {
    self.transport = transport
    pod = subject.pod
    plan = subject.plan
    document = subject.document
    self.logger = logger
  }

  func look() async {
    readPlan()
    guard subject != nil else { return }
    readStatus()
    await tell(WallClock.now)
  }

  /// The Pod ends: its tunnels do as well.
  func end() async {
    for slice in known.keys {
      known[slice]?.isSilent = true
      silence(slice)
      told[slice]?.tried = .zero
    }
    await tell(WallClock.now)
  }

  // MARK: What the process says

  private static func date(_ path: String) -> Date? {
    (try? FileManager.default.attributesOfItem(atPath: path))?[.modificationDate] as? Date
  }

  private func readPlan() {
    let date = Self.date(plan)
    guard date != planDate else { return }
    planDate = date
    guard let content = try? PrivateFile.read(plan, limit: GatewayPlanFile.limit),
      let file = try? GatewayPlanFile(json: content.bytes)
    else { return }
    subject = file
    let slices = Set(file.plan.slices.map(\.slice))
    known = known.filter { slices.contains($0.key) }
    told = told.filter { slices.contains($0.key) }
    for slice in slices where known[slice] == nil {
      known[slice] = SliceGatewayReport(
        slice: slice, gateway: file.replica, pod: pod, isSilent: true)
    }
  }

  private func readStatus() {
    let path = GatewayStatusFile.path(forPlan: plan)
    guard let date = Self.date(path), abs(date.timeIntervalSinceNow) < PlannedGateway.silence else {
      statusDate = nil
      for slice in known.keys {
        known[slice]?.isSilent = true
        silence(slice)
      }
      return
    }
    guard date != statusDate else { return }
    statusDate = date
    guard let content = try? PrivateFile.read(path, limit: GatewayStatusFile.limit),
      let (status, failures) = try? GatewayStatusFile.read(content.bytes)
    else { return }
    let now = WallClock.now.instant
    // Tunnels that no node can use serve nobody.
    let agent = NodeStatus.read(forDocument: document) ?? NodeStatus()
    let tunnels = Dictionary(grouping: status.tunnels, by: \.slice)
    for slice in known.keys {
      known[slice]?.isSilent = false
      known[slice]?.failure =
        failures[slice] ?? (agent.problem.isEmpty ? agent.unserved[slice] ?? "" : agent.problem)
      known[slice]?.listen = status.listen.description
      known[slice]?.tunnels = (tunnels[slice] ?? []).map { measured($0, now) }
        .sorted { ($0.remote, $0.replica) < ($1.remote, $1.replica) }
    }
  }

  /// A process that says nothing is not known to carry anything.
  private func silence(_ slice: String) {
    for index in known[slice]?.tunnels.indices ?? 0..<0
    where known[slice]?.tunnels[index].state == .established {
      known[slice]?.tunnels[index].state = .unreachable
    }
  }

  private func measured(_ tunnel: TunnelStatus, _ now: Instant) -> TunnelReport {
    var report = TunnelReport(tunnel)
    let key = "\(tunnel.slice)/\(tunnel.cluster)/\(tunnel.replica)"
    let (sent, received) = (
      report.figures[.sentBytes] ?? 0, report.figures[.receivedBytes] ?? 0
    )
    var own = counts[key] ?? Counts(sent: sent, received: received, at: now)
    let milliseconds = (now - own.at).nanoseconds / 1_000_000
    if milliseconds >= 5000 {
      func rate(_ new: Int64, _ old: Int64) -> Int64 {
        Int64(Double(max(0, new - old)) * 8000 / Double(milliseconds))
      }
      own = Counts(
        sent: sent, received: received, at: now,
        rates: (rate(sent, own.sent), rate(received, own.received)))
    }
    counts[key] = own
    report.figures[.transmitBitsPerSecond] = own.rates.sent
    report.figures[.receiveBitsPerSecond] = own.rates.received
    return report
  }

  // MARK: Telling

  private func tell(_ now: Now) async {
    for slice in known.keys.sorted() {
      guard var report = known[slice] else { continue }
      let last = told[slice] ?? Told()
      let isNew = !last.isTaken || last.urgent != report.urgent
      let wait =
        last.tried == .zero
        ? .zero : !isNew ? TunnelReports.interval : last.isTaken ? Self.pause : Self.retry
      guard now.instant - last.tried >= wait else { continue }
      report.reported = CivilDate.rfc3339(now.wallMilliseconds)
      let problem = await write(report, now)
      told[slice] = Told(
        urgent: problem == nil ? report.urgent : last.urgent, tried: WallClock.now.instant,
        isTaken: problem == nil)
      if let problem, problem != complaint {
        logger.warning("no report", metadata: ["slice": "\(slice)", "why": "\(problem)"])
      }
      complaint = problem ?? ""
    }
  }

  private var conditions: [String: JSON] = [:]

  private func write(_ report: SliceGatewayReport, _ now: Now) async -> String? {
    let name = GatewayWorkloads.reportName(report.slice, Int(report.gateway) ?? 0)
    let status = report.status(over: conditions[report.slice], now: now.wallMilliseconds)
    let object = KubernetesObject(.sliceGateways, ObjectKey(name: name), ["status": status])
    do throws(TransportFailure) {
      let answer = try await transport.send(
        .apply(
          object, .sliceGateways, subresource: "status", manager: SliceGatewayReport.manager),
        timeout: .seconds(5))
      guard answer.isSuccess else { return "\(answer.failure)" }
      conditions[report.slice] = status["conditions"]
      return nil
    } catch {
      return "\(error)"
    }
  }
}
