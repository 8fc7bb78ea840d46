public import Base
public import Replication
internal import Slices

/// How a command that changes slices goes about it.
public struct ChangeRequest: Hashable, Sendable {
  public enum Destination: Hashable, Sendable {
    case peer
    /// Signed and written, not sent; `-` is standard output.
    case file(String)
  }

  public var destination: Destination
  /// Why, for `starling log`; empty: what it does.
  public var message: String
  /// The grant to sign under; `nil`: the least powerful one that suffices.
  public var under: Digest?
  public var wait: Duration?
  public var format: OutputFormat
  /// Asks nothing.
  public var isConfirmed: Bool
  /// Without a terminal to ask at, `isConfirmed` is needed: it deletes.
  public var needsConfirmation = false
  /// Fails rather than writes over what somebody else changed meanwhile.
  public var ifUnchanged: Bool
  /// The bases that the manifests were made from, by slice.
  public var bases: [String: String]

  public init(
    destination: Destination = .peer, message: String = "", under: Digest? = nil,
    wait: Duration? = nil, format: OutputFormat = .table, isConfirmed: Bool = false,
    ifUnchanged: Bool = false, bases: [String: String] = [:]
  ) {
    self.destination = destination
    self.message = message
    self.under = under
    self.wait = wait
    self.format = format
    self.isConfirmed = isConfirmed
    self.ifUnchanged = ifUnchanged
    self.bases = bases
  }
}

extension AdminSession {
  /// Plans, shows, asks, signs, sends and follows one change.
  ///
  /// - Parameter plan: pure; called again before anything is signed, on the newest state.
  public func change(
    _ request: ChangeRequest, plan: (RegisterSnapshot) throws(AdminError) -> ChangePlan
  ) async throws {
    try await withPeer { client in
      var state = try await signingState(client)
      let shown = try plan(state.snapshot)
      if request.ifUnchanged { try shown.check(unchanged: request.bases) }
      if !request.format.isStructured { show(shown, request) }
      guard !shown.isEmpty else {
        try await Delivery(self).flush(state.outbox, to: client)
        try report(DeliveryReport(plan: shown), request)
        return
      }
      let asked = try confirm(
        "Sign and send this?", isConfirmed: request.isConfirmed,
        isOptional: !request.needsConfirmation)
      let key = try signingKey()
      if asked || request.ifUnchanged {
        state = try await signingState(client)
        guard try plan(state.snapshot).bases == shown.bases else {
          throw AdminError(
            .moved, "it was changed by somebody else meanwhile; nothing was sent",
            fix: "Look at the plan again.")
        }
      }
      let current = try plan(state.snapshot)
      let choice = try state.choice(
        for: key.publicKey, needs: current.needs, under: request.under, now: now)
      let changesets = try sign(current, state, choice, key.signer, request)
      if case .file(let path) = request.destination {
        try write(changesets, current, to: path, choice)
        return
      }
      try Delivery.check(choice)
      let delivery = Delivery(
        self, wait: request.wait, showsProgress: !request.format.isStructured)
      let done = try await delivery.send(
        changesets, outbox: state.outbox, to: client, plan: current)
      try report(done, request)
      try done.checkArrival()
      if request.ifUnchanged { try await checkNoRival(of: current, client) }
    }
  }

  private func sign(
    _ plan: ChangePlan, _ state: SigningState, _ choice: GrantChoice, _ signer: Signer,
    _ request: ChangeRequest
  ) throws(AdminError) -> [Changeset] {
    var builder = try state.builder(choice, signer: signer, now: now)
    let changed = plan.slices.filter { !$0.isEmpty }
    let standard = changed.map { "slice \($0.slice): \($0.summary)" }.joined(separator: "; ")
    let changesets = try builder.changesets(
      writes: plan.writes, message: request.message.isEmpty ? standard : request.message,
      after: state.snapshot)
    if changesets.count > 1 {
      note(
        "this is too large for one changeset: \(changesets.count) are applied one after the other")
    }
    return changesets
  }

  private func write(
    _ changesets: [Changeset], _ plan: ChangePlan, to path: String, _ choice: GrantChoice
  ) throws(AdminError) {
    let name = plan.slices.first { !$0.isEmpty }?.slice ?? "change"
    try write(changesets, name: name, comments: plan.changes.flatMap(\.lines), to: path)
    note(signingHint(choice, path))
  }

  private func show(_ plan: ChangePlan, _ request: ChangeRequest) {
    // Standard output is the signed file's.
    if request.destination == .file("-") {
      note(plan.text(style: errors))
    } else {
      Terminal.write(plan.text(style: output), to: .output)
    }
  }

  private func report(_ done: DeliveryReport, _ request: ChangeRequest) throws(AdminError) {
    if request.format.isStructured {
      Terminal.write(try request.format.text(done), to: .output)
    } else if let line = done.progressLine {
      Terminal.write(line + "\n", to: .output)
    } else if let id = done.results.first?.id {
      Terminal.write("changeset \(id.short) accepted\n", to: .output)
    }
  }

  /// Whether a rival write met this one on its way: both are kept, and that is no "unchanged".
  private func checkNoRival(of plan: ChangePlan, _ client: PeerClient) async throws {
    let registers = try await client.get(
      "/v1/registers?scope=clusterset&prefix=slice/", as: APIRegisters.self)
    let written = Set(plan.writes.map(\.path))
    let rivals = registers.registers.filter { $0.isConflict && written.contains($0.path) }
    guard let first = rivals.first else { return }
    throw AdminError(
      .moved, "\(first.path) was changed by somebody else at the same time: both values are kept",
      fix: "See `starling conflicts`; the next change of it settles the matter.")
  }
}

// MARK: - Pieces that other commands share

extension AdminSession {
  /// Asks at the terminal. Without one: goes on where that `isOptional`, else wants `--yes`.
  ///
  /// - Returns: whether somebody was asked.
  @discardableResult
  public func confirm(
    _ question: String, isConfirmed: Bool, isOptional: Bool = false
  ) throws(AdminError) -> Bool {
    if isConfirmed { return false }
    guard Terminal.isTerminal(.error), Terminal.isTerminal(.output) else {
      if isOptional { return false }
      throw .usage("this needs a confirmation; nothing was sent", fix: "Give --yes.")
    }
    let answer = Terminal.ask("\(question) [y/N] ", echo: true) ?? ""
    guard ["y", "yes"].contains(answer.lowercased()) else {
      throw AdminError(.failed, "not confirmed; nothing was sent")
    }
    return true
  }

  /// Signed changesets as documents in one file.
  public func write(
    _ changesets: [Changeset], name: String, comments: [String], to path: String
  ) throws(AdminError) {
    let text = changesets.map { changeset in
      SignedChangesetFile.text(changeset, name: name, comments: comments)
    }.joined(separator: "---\n")
    if path == "-" {
      Terminal.write(text, to: .output)
    } else {
      try TextFile.write(Array(text.utf8), to: path, replacing: true)
    }
  }

  public func signingHint(_ choice: GrantChoice, _ path: String) -> String {
    let file = path == "-" ? "FILE" : path
    return choice.threshold > 1
      ? "signed by 1 of the \(choice.threshold) root keys it needs; next: starling cosign \(file)"
      : "signed, not sent; next: starling push \(file)"
  }

  public func print(_ text: String) {
    Terminal.write(text, to: .output)
  }

  /// A list or an object in the format that was asked for.
  public func print(
    _ value: some Encodable, _ format: OutputFormat, table: () -> Table
  ) throws(AdminError) {
    print(
      format.isStructured
        ? try format.text(value) : table().text(wide: format == .wide, style: output))
  }

  public func print(
    _ value: some Encodable, _ format: OutputFormat, text: () -> String
  ) throws(AdminError) {
    print(format.isStructured ? try format.text(value) : text())
  }
}
