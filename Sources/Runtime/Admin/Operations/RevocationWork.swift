internal import Base
public import Replication

extension AdminSession {
  /// The grants that a key or an ID names, with what lives under them; void ones are left out.
  public func revocations(
    of subject: String, _ state: SigningState, _ client: PeerClient
  ) async throws -> [Revocation] {
    let found = try GrantLookup.find(subject, in: state.grants)
    guard !found.contains(where: { $0.rootKeys != nil }) else {
      throw AdminError(
        .failed, "a root version is not revoked but replaced",
        fix: "Sign a root change with the old and the new root keys.")
    }
    let live = found.filter { $0.state == .valid || $0.state == .expired }
    guard !live.isEmpty else {
      throw AdminError(
        .failed, "\(subject) is void already: \(found.map(\.detail).joined(separator: "; "))")
    }
    var out: [Revocation] = []
    for grant in live {
      out.append(
        Revocation(try await client.get("/v1/grants/\(grant.id.hex)", as: APIGrantDetail.self)))
    }
    return out
  }

  public func show(_ revocations: [Revocation], keeping choice: KeepChoice?) {
    for revocation in revocations {
      let grant = revocation.detail.grant
      print(
        output(.strong, "grant \(grant.id.short)")
          + " of \(grant.subject?.short ?? "the root"): "
          + ChangesetSummary.capabilities(grant.capabilities) + "\n")
      print(revocation.table(keeping: choice, now: now).text(wide: false, style: output) + "\n")
    }
  }

  /// What was asked for, or what the person at the terminal says.
  public func choose(
    _ choice: KeepChoice?, for revocations: [Revocation]
  ) throws(AdminError) -> KeepChoice {
    if let choice { return choice }
    if revocations.allSatisfy(\.candidates.isEmpty) { return .none }
    guard Terminal.isTerminal(.error), Terminal.isTerminal(.output) else {
      throw .usage(
        "something lives under this grant; nothing was sent",
        fix: "Say what stays of it: --keep all, --keep none or --keep ID.")
    }
    let answer = Terminal.ask(
      "Keep [a]ll, [n]othing, or the IDs (separated by spaces)? ", echo: true)
    let words = (answer ?? "").split(separator: " ").map { String($0) }
    switch words.first?.lowercased() {
    case nil: throw AdminError(.failed, "nothing was chosen; nothing was sent")
    case "a", "all": return .all
    case "n", "none", "nothing": return .none
    default: return .these(words)
    }
  }

  /// Sends a changeset about trust, or writes it for others to sign.
  ///
  /// - Parameter how: the command that made it, for the hint where one signature is not enough.
  public func finish(
    _ changeset: Changeset, _ choice: GrantChoice, _ state: SigningState, to file: String?,
    _ client: PeerClient, _ format: OutputFormat, how: String
  ) async throws {
    if let file {
      try write([changeset], name: "trust", comments: [changeset.message], to: file)
      note(signingHint(choice, file))
      return
    }
    try Delivery.check(choice, how: how)
    let report = try await Delivery(self).send([changeset], outbox: state.outbox, to: client)
    let done = TrustReport(changeset, results: report.results)
    try print(done, format) {
      changeset.grant == nil
        ? "changeset \(changeset.id.short) accepted\n" : "grant \(changeset.id.hex)\n"
    }
  }

  /// Takes a cluster out: its admission, and the grants of its peers and tokens.
  public func remove(
    cluster: String, force: Bool, _ request: ChangeRequest
  ) async throws {
    try await withPeer { client in
      let state = try await signingState(client)
      let removal = try ClusterRemoval(
        cluster, from: state.snapshot, grants: state.grants, force: force)
      if !request.format.isStructured { print(removal.text(style: output)) }
      try confirm("Remove cluster \(cluster)?", isConfirmed: request.isConfirmed)
      let key = try signingKey()
      let needs = removal.needs { id in Set(state.chain(of: id)).union([state.clusterSet]) }
      let choice = try state.choice(
        for: key.publicKey, needs: needs, under: request.under, now: now)
      try Delivery.check(choice)
      var builder = try state.builder(choice, signer: key.signer, now: now)
      let changeset = try builder.changeset(
        writes: removal.writes, floors: removal.floors,
        message: request.message.isEmpty ? "remove cluster \(cluster)" : request.message,
        after: state.snapshot)
      let delivery = Delivery(
        self, wait: request.wait, showsProgress: !request.format.isStructured)
      let report = try await delivery.send([changeset], outbox: state.outbox, to: client)
      try print(report, request.format) {
        (report.progressLine ?? "changeset \(changeset.id.short) accepted") + "\n"
      }
      try report.checkArrival()
    }
  }
}
