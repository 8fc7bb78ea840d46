internal import Base
internal import Foundation
internal import Synchronization

/// The gateway as a process of its own (`starling-gateway`): it gets its plan in a file and says in
/// another one how it is. A restart of the daemon touches no tunnel.
final class PlannedGateway: GatewayRunner {
  private let configuration: GatewayConfiguration
  private let path: String
  private let state: Mutex<State>

  private struct State {
    var written: [UInt8] = []
    var status: GatewayStatus?
    var failures: [String: String] = [:]
    var problem: String?
    /// Of the status file.
    var modified: Date?
    /// (slice, cluster) with a tunnel that answers.
    var reachable: Set<[String]> = []
    var errors: [[String]: String] = [:]
  }

  /// A gateway process says every second how it is.
  static let silence = 3.5

  init(_ configuration: GatewayConfiguration, path: String) {
    self.configuration = configuration
    self.path = path
    state = Mutex(State(problem: Self.missing(path)))
  }

  private static func missing(_ path: String) -> String {
    "no gateway process works on \(path): start starling-gateway --wait --plan \(path)"
  }

  var latestStatus: GatewayStatus? { state.withLock { $0.status } }
  var problem: String? { state.withLock { $0.problem } }

  func apply(_ plan: GatewayPlan) -> [String: String] {
    let file = GatewayPlanFile(
      cluster: configuration.cluster, replica: configuration.replica,
      listen: configuration.listen, staticKey: configuration.staticKey, plan: plan)
    do {
      let json = try file.json()
      guard state.withLock({ $0.written != json }) else { return state.withLock { $0.failures } }
      try PrivateFile.write(json, to: path)
      state.withLock { $0.written = json }
    } catch {
      let reason = (error as? FileError)?.reason ?? "\(error)"
      let text = "cannot write the gateway's plan \(path): \(reason)"
      return Dictionary(
        plan.slices.map { ($0.slice, text) }, uniquingKeysWith: { first, _ in first })
    }
    return state.withLock { $0.failures }
  }

  /// Reads the status if there is a new one, and tells what changed.
  func look() {
    let file = GatewayStatusFile.path(forPlan: path)
    let modified =
      (try? FileManager.default.attributesOfItem(atPath: file))?[.modificationDate] as? Date
    guard let modified, Date().timeIntervalSince(modified) < Self.silence else {
      return lose()
    }
    guard state.withLock({ $0.modified != modified }) else { return }
    state.withLock { $0.modified = modified }
    do {
      let content = try PrivateFile.read(file, limit: GatewayStatusFile.limit)
      let (status, failures) = try GatewayStatusFile.read(content.bytes)
      take(status, failures)
    } catch {
      let reason = (error as? FileError)?.reason ?? "\(error)"
      state.withLock { $0.problem = "\(file): \(reason)" }
    }
  }

  private func take(_ status: GatewayStatus, _ failures: [String: String]) {
    let reachable = Set(
      status.tunnels.filter { $0.state == .established }.map { [$0.slice, $0.cluster] })
    var events: [GatewayEvent] = []
    state.withLock { state in
      events = Self.changes(from: state.reachable, to: reachable)
      for (slice, reason) in failures.sorted(by: { $0.key < $1.key })
      where state.failures[slice] != reason {
        events.append(.sliceFailed(slice: slice, reason: reason))
      }
      var errors: [[String]: String] = [:]
      for tunnel in status.tunnels {
        let key = [tunnel.slice, tunnel.cluster, tunnel.replica]
        errors[key] = tunnel.lastError
        guard let reason = tunnel.lastError, state.errors[key] != reason else { continue }
        events.append(
          .handshakeFailed(
            slice: tunnel.slice, cluster: tunnel.cluster, replica: tunnel.replica, reason: reason))
      }
      (state.status, state.failures, state.errors) = (status, failures, errors)
      (state.reachable, state.problem) = (reachable, nil)
    }
    for event in events { configuration.onEvent(event) }
  }

  /// It says nothing any more: nothing is known to be reachable.
  private func lose() {
    let events = state.withLock { state in
      let events = Self.changes(from: state.reachable, to: [])
      (state.status, state.reachable) = (nil, [])
      state.problem = Self.missing(path)
      return events
    }
    for event in events { configuration.onEvent(event) }
  }

  private static func changes(
    from before: Set<[String]>, to now: Set<[String]>
  ) -> [GatewayEvent] {
    before.symmetricDifference(now).sorted { $0.lexicographicallyPrecedes($1) }.map {
      .reachability(slice: $0[0], cluster: $0[1], reachable: now.contains($0))
    }
  }

  /// The gateway process goes on: it is not ours.
  func stop() {}
}
