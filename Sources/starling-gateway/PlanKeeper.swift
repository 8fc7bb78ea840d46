import Base
import Foundation
import Runtime

/// Keeps a gateway at what its plan says, and says beside the plan how it is.
final class PlanKeeper {
  private let path: String
  private let gateway: Gateway
  private let who: Who
  private var mark: PlanReader.Mark?
  private var servicesMark: PlanReader.Mark?
  private var complaint = ""
  private var statusAt = Date.distantPast
  private var plan = GatewayPlan()
  /// What the cluster exports, where the plan does not say it.
  private var services: [TunnelServiceConfig] = []
  /// By slice, why it is not served.
  private(set) var failures: [String: String] = [:]

  /// How often the plan is looked at (one `stat`), and how often the status is written.
  static let interval: TimeInterval = 0.1
  private static let statusSeconds = 1.0

  private struct Who: Equatable {
    var cluster: String
    var replica: String
    var listen: IPEndpoint
    var staticKey: [UInt8]

    init(_ file: GatewayPlanFile) {
      (cluster, replica) = (file.cluster, file.replica)
      (listen, staticKey) = (file.listen, file.staticKey)
    }
  }

  /// - Parameter mark: of the plan, from before `file` was read: what replaces it meanwhile is a change.
  init(path: String, mark: PlanReader.Mark?, file: GatewayPlanFile, gateway: Gateway) {
    self.path = path
    self.gateway = gateway
    who = Who(file)
    self.mark = mark
  }

  func apply(_ file: GatewayPlanFile) {
    plan = file.plan
    lookAtServices()
    apply()
    writeStatus()
  }

  private func apply() {
    var plan = plan
    plan.services += services
    failures = gateway.apply(plan)
  }

  /// A turn without a signal.
  func look() {
    let now = PlanReader.mark(path)
    if now != mark {
      mark = now
      if now != nil { reload() }
    }
    guard Date().timeIntervalSince(statusAt) >= Self.statusSeconds else { return }
    // What failed for a reason of this machine may work by now.
    if lookAtServices() || !failures.isEmpty { apply() }
    gateway.look()
    writeStatus()
  }

  /// - Returns: whether there is something new. A file that is gone is no news.
  @discardableResult
  private func lookAtServices() -> Bool {
    let path = GatewayServicesFile.path(forPlan: path)
    guard let now = PlanReader.mark(path), now != servicesMark else { return false }
    servicesMark = now
    do {
      services = try GatewayServicesFile.read(
        try PlanReader.bytes(path, limit: GatewayServicesFile.limit), cluster: who.cluster)
      return true
    } catch {
      // What is counted stays counted.
      StarlingGateway.complain("\(path): \(error)")
      return false
    }
  }

  func reload() {
    do {
      let file = try PlanReader.read(path)
      guard Who(file) == who else {
        throw GatewayError.refused(
          "\(path): it is another gateway's plan now, or has another port or key: start again")
      }
      complaint = ""
      apply(file)
    } catch {
      // What is in force stays in force.
      if "\(error)" != complaint { StarlingGateway.complain("\(error)") }
      complaint = "\(error)"
    }
  }

  private func writeStatus() {
    statusAt = Date()
    let text = GatewayStatusFile.json(gateway.status(), failures: failures)
    // Replaced whole: who reads it sees all of one or of the other.
    try? Data(text).write(
      to: URL(fileURLWithPath: GatewayStatusFile.path(forPlan: path)), options: .atomic)
  }

  func removeStatus() {
    try? FileManager.default.removeItem(atPath: GatewayStatusFile.path(forPlan: path))
  }
}
