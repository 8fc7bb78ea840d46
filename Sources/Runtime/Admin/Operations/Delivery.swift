internal import Base
public import Replication

/// Sends what was signed, and says what became of it.
public struct Delivery: Sendable {
  public let session: AdminSession
  /// `nil`: does not wait for the clusters.
  public var wait: Duration?
  /// Draws a bar on standard error where that is a terminal.
  public var showsProgress: Bool

  public init(_ session: AdminSession, wait: Duration? = nil, showsProgress: Bool = true) {
    self.session = session
    self.wait = wait
    self.showsProgress = showsProgress && Terminal.isTerminal(.error)
  }

  /// What was signed under a root with a threshold cannot be sent with one signature.
  public static func check(
    _ choice: GrantChoice, signatures: Int = 1, how: String = "starling sign"
  ) throws(AdminError) {
    guard choice.threshold > signatures else { return }
    throw AdminError(
      .failed,
      "the root signs with \(choice.threshold) of its \(choice.root?.keys.count ?? 0) keys; "
        + "one signature is not enough, and nothing was sent",
      fix:
        "Write it to a file with `\(how) --out FILE`, have it signed with `starling cosign FILE` "
        + "by the others, then `starling push FILE`.")
  }

  /// - Parameter outbox: signed before; goes first, and leaves the outbox once the peer has it.
  public func send(
    _ changesets: [Changeset], outbox: [Changeset] = [], to client: PeerClient,
    plan: ChangePlan? = nil
  ) async throws -> DeliveryReport {
    try await flush(outbox, to: client)
    var report = DeliveryReport(plan: plan)
    guard !changesets.isEmpty else { return report }
    report.results = try await client.push(changesets).results
    try judge(report.results)
    guard let wait else { return report }
    try await follow(changesets, for: wait, client, &report)
    return report
  }

  public func flush(_ outbox: [Changeset], to client: PeerClient) async throws {
    guard !outbox.isEmpty else { return }
    let results = try await client.push(outbox).results
    for (changeset, result) in zip(outbox, results) {
      switch result.outcome {
      case .accepted, .duplicate, .pending, .held: Outbox(session.context).remove(changeset)
      case .refused:
        // It will not get better: say so once, and let it go.
        session.note("warning: \(changeset.message) (signed before) was refused: \(result.reason)")
        Outbox(session.context).remove(changeset)
      }
    }
  }

  private func judge(_ results: [APIPushResult]) throws(AdminError) {
    for result in results {
      let name = result.id.map { "changeset \($0.short)" } ?? "the changeset"
      switch result.outcome {
      case .accepted, .duplicate: continue
      case .pending:
        session.note("\(name) is stored and waits for the grant that it acts under")
      case .held: session.note("\(name) is stored and ahead of the peer's clock: \(result.reason)")
      case .refused:
        throw AdminError(.failed, "\(name) was refused: \(result.reason)", fix: result.fix)
      }
    }
  }

  private func follow(
    _ changesets: [Changeset], for limit: Duration, _ client: PeerClient,
    _ report: inout DeliveryReport
  ) async throws {
    for changeset in changesets {
      var bar = ProgressBar(total: 0)
      let done: APIProgressDone
      defer { if showsProgress { Terminal.write(ProgressBar.clear, to: .error) } }
      done = try await client.progress(of: changeset.id, timeout: limit) { step in
        bar.follow(step)
        if showsProgress {
          Terminal.write(bar.redraw(columns: Terminal.columns), to: .error)
        }
      }
      report.confirmed = min(report.confirmed ?? .max, done.confirmed)
      report.total = done.total
      report.elapsedMilliseconds = max(report.elapsedMilliseconds ?? 0, done.elapsedMilliseconds)
      report.missing = Set(report.missing ?? []).union(done.missing).sorted()
    }
  }
}

extension ProgressBar {
  public mutating func follow(_ step: APIProgress) {
    switch step {
    case .expected(let event):
      total = event.clusters.count
      waiting = event.clusters
    case .confirmed(let event):
      (done, total, elapsedMilliseconds) = (event.confirmed, event.total, event.elapsedMilliseconds)
      waiting.removeAll { $0 == event.cluster }
    case .done(let event):
      (done, total, elapsedMilliseconds) = (event.confirmed, event.total, event.elapsedMilliseconds)
      waiting = event.missing
    }
  }
}

extension DeliveryReport {
  /// `3/3 clusters in 183 ms`; `nil` where nobody waited.
  public var progressLine: String? {
    guard let confirmed, let total, let elapsedMilliseconds else { return nil }
    return "\(confirmed)/\(total) clusters in \(ProgressBar.milliseconds(elapsedMilliseconds))"
  }

  /// Fails where it was waited for and did not arrive everywhere.
  public func checkArrival() throws(AdminError) {
    guard let missing, !missing.isEmpty else { return }
    throw AdminError(
      .timedOut, "not confirmed in time by: \(missing.joined(separator: ", "))",
      fix: "The change is signed and spreads on; those clusters get it when they can be reached. "
        + "See `starling members`.")
  }
}
