public import Base
internal import Membership
internal import Peer
public import Replication
internal import Slices
internal import Wire

extension PeerHost {
  public func registers(scope: Scope?, prefix: String) async throws -> APIRegisters {
    let engine = try joinedEngine()
    return try await engine.read { peer in
      let scopes = scope.map { [$0] } ?? peer.state.scopes
      return APIRegisters(
        clusterSet: peer.configuration.genesis.id,
        hlc: max(
          peer.state.latestTime,
          HybridTime(milliseconds: WallClock.now.wallMilliseconds)),
        registers: scopes.flatMap { peer.state.registers(prefix: prefix, scope: $0) }
          .map(APIRegister.init))
    }
  }

  public func conflicts() async throws -> [APIConflict] {
    let engine = try joinedEngine()
    var out = try await engine.read { peer in
      peer.state.conflicts().map { register in
        APIConflict(
          kind: .register, subject: register.path, scope: register.scope,
          detail: "\(register.values.count) edits did not see one another; the newest is in force",
          fix: "Apply what should hold; it covers them all.",
          values: register.values.map(APIRegisterValue.init))
      }
        + peer.state.alarms.map { alarm in
          APIConflict(
            kind: alarm.conflictKind, subject: alarm.subject.hex, scope: .clusterset,
            detail: alarm.description, fix: alarm.fix)
        }
    }
    for slice in current?.platform?.latest?.view.slices.values.sorted(by: { $0.name < $1.name })
      ?? []
    {
      for problem in slice.problems {
        guard let kind = problem.conflictKind else { continue }
        out.append(
          APIConflict(
            kind: kind, subject: problem.path, scope: .slice(slice.name), detail: problem.message,
            fix: "See: starling describe slice \(slice.name)"))
      }
    }
    return out
  }

  // MARK: Grants

  public func grants() async throws -> APIGrants {
    let engine = try joinedEngine()
    return try await engine.read { peer in
      let grants = peer.state.grants()
      let carriers = peer.state.log(limit: .max).filter { !$0.changeset.floors.isEmpty }
      return APIGrants(
        grants: grants.filter { $0.root != nil && $0.successor == nil }.map {
          APIGrant($0, in: peer)
        } + grants.filter { $0.root == nil || $0.successor != nil }.map { APIGrant($0, in: peer) },
        floors: carriers.flatMap { entry in
          entry.changeset.floors.map { floor in
            APIFloor(
              changeset: entry.changeset.id, grant: floor.grant, author: entry.changeset.author,
              floor: floor.time, keep: floor.keep, hlc: entry.changeset.time,
              counting: entry.outcome == .accepted)
          }
        })
    }
  }

  public func grant(id: Digest) async throws -> APIGrantDetail {
    let engine = try joinedEngine()
    let detail = try await engine.read { peer -> APIGrantDetail? in
      guard let grant = peer.state.grant(id) else { return nil }
      let all = peer.state.grants()
      var below: [APIGrant] = []
      var parents: Set<Digest> = [id]
      // Chains are short: each pass goes a level down.
      for _ in 0...StateLimits.delegationDepth + 1 {
        let next = all.filter {
          $0.parent.map(parents.contains) ?? false && !parents.contains($0.id)
        }
        below += next.filter { grant in !below.contains { $0.id == grant.id } }
          .map { APIGrant($0, in: peer) }
        parents.formUnion(next.map(\.id))
      }
      let live = peer.state.log(limit: .max).filter {
        $0.changeset.under == id && $0.outcome == .accepted
      }
      return APIGrantDetail(
        grant: APIGrant(grant, in: peer),
        chain: peer.state.chain(of: id).compactMap { peer.state.grant($0) }
          .map { APIGrant($0, in: peer) },
        live: live.map { APIChangeset($0) }, subtree: below)
    }
    guard let detail else { throw APIProblem.notFound("There is no grant \(id.hex).") }
    return detail
  }

  // MARK: Changesets

  public func log(_ query: APILogQuery) async throws -> [APIChangeset] {
    let engine = try joinedEngine()
    if query.rejected { return try await rejected(query, engine) }
    let entries = try await engine.read { peer in
      peer.state.log(path: query.path, limit: query.limit)
    }
    let received = try await engine.receivedMilliseconds(of: entries.map(\.changeset.id))
    return entries.map { entry in
      APIChangeset(
        entry, receivedAt: received[entry.changeset.id].map(APITime.init(milliseconds:)))
    }
  }

  private func rejected(
    _ query: APILogQuery, _ engine: PeerEngine
  ) async throws -> [APIChangeset] {
    let waiting = try await engine.read { peer in
      peer.state.log(path: query.path, limit: query.limit).filter { $0.outcome != .accepted }
    }
    let refused = try store.rejections(limit: query.limit)
    return waiting.map { APIChangeset($0) }
      + refused.map { rejection in
        let time = HybridTime(milliseconds: rejection.timeMilliseconds)
        return APIChangeset(
          id: rejection.id ?? .zero, state: .refused,
          reason: "\(rejection.reason) (from \(rejection.source))", scope: .clusterset,
          under: .zero, author: rejection.author ?? PublicKey(words: (0, 0, 0, 0)), hlc: time,
          receivedAt: APITime(time), bytes: rejection.head.count)
      }
  }

  public func changeset(id: Digest) async throws -> APIChangeset {
    let engine = try joinedEngine()
    guard let entry = try await engine.read({ $0.state.logEntry(id) }) else {
      throw APIProblem.notFound(
        "The changeset \(id.hex) is not held here.",
        fix: "It may be superseded and forgotten, or not have arrived.")
    }
    return APIChangeset(entry, raw: ChangesetCodec.encode(entry.changeset))
  }

  public func push(_ body: [UInt8]) async throws -> APIPushAnswer {
    let engine = try joinedEngine()
    let changesets: [Changeset]
    do throws(WireError) {
      changesets = try Self.decode(body)
    } catch {
      store.record(
        Rejection(
          timeMilliseconds: WallClock.now.wallMilliseconds,
          reason: "not a changeset: \(error)", source: "api", head: body))
      PeerMetrics(registry).malformed("push")
      throw APIProblem.badRequest(
        "The body is no signed changeset: \(error).",
        fix: "Send what starling sign wrote, decoded from base64.")
    }
    do {
      let verdicts = try await engine.submit(changesets)
      return APIPushAnswer(results: verdicts.map(APIPushResult.init))
    } catch let error as StorageError {
      throw APIProblem.unavailable(
        "The change is not durable here: \(error).", fix: "Push it to another peer.")
    }
  }

  /// One `SignedChangeset` or a `ChangesetBatch`: both begin with field 1, of which a changeset's is
  /// a body and a batch's a changeset; what decodes with a signature is a changeset.
  private static func decode(_ body: [UInt8]) throws(WireError) -> [Changeset] {
    if let one = try? ChangesetCodec.decode(body, crypto: .sodium) { return [one] }
    let batch = try ChangesetCodec.decodeBatch(body, maximumCount: 256, crypto: .sodium)
    guard !batch.isEmpty else { throw .truncated }
    return batch
  }

  public func progress(
    of id: Digest, timeoutMilliseconds: UInt64
  ) async throws -> AsyncStream<APIProgress> {
    let engine = try joinedEngine()
    let began = WallClock.now.instant
    let expected = try await engine.read { ProgressExpectation(id, in: $0) }
    guard let expected else {
      throw APIProblem.notFound("The changeset \(id.hex) is not held here.")
    }
    let timeout = Duration.milliseconds(Int64(clamping: min(timeoutMilliseconds, 600_000)))
    let confirmations = try await engine.progress(of: id, timeout: timeout)
    let (stream, continuation) = AsyncStream<APIProgress>.makeStream(bufferingPolicy: .unbounded)
    let task = Task {
      continuation.yield(
        .expected(.init(clusters: expected.clusters, dead: expected.dead)))
      var confirmed: [String] = []
      func elapsed() -> Double { (WallClock.now.instant - began).milliseconds }
      let watch = Task {
        for await node in confirmations {
          guard let cluster = expected.clusterOf[node], !confirmed.contains(cluster) else {
            continue
          }
          confirmed.append(cluster)
          continuation.yield(
            .confirmed(
              .init(
                cluster: cluster, elapsedMilliseconds: elapsed(),
                confirmed: confirmed.filter { expected.clusters.contains($0) }.count,
                total: expected.clusters.count)))
          if expected.clusters.allSatisfy({ confirmed.contains($0) }) { break }
        }
        return confirmed
      }
      let limit = Task {
        try? await Task.sleep(for: timeout)
        watch.cancel()
      }
      let all = await watch.value
      limit.cancel()
      let missing = expected.clusters.filter { !all.contains($0) }
      continuation.yield(
        .done(
          .init(
            confirmed: expected.clusters.count - missing.count, total: expected.clusters.count,
            elapsedMilliseconds: elapsed(), missing: missing)))
      continuation.finish()
    }
    continuation.onTermination = { _ in task.cancel() }
    return stream
  }

  public func backup() async throws -> APIBackup {
    let name = "starling-\(configuration.cluster ?? "peer").backup"
    let path = "\(configuration.dataDir)/backup-\(Sodium.randomBytes(6).hex)"
    do throws(StorageError) {
      try store.backup(to: path)
    } catch {
      throw APIProblem.unavailable("No backup could be made: \(error).")
    }
    return APIBackup(fileName: name, chunks: BackupReader.chunks(of: path))
  }
}

/// Which clusters a changeset's scope belongs to.
private struct ProgressExpectation: Sendable {
  var clusters: [String] = []
  var dead: [String] = []
  var clusterOf: [NodeID: String] = [:]

  init?(_ id: Digest, in peer: Peer) {
    guard let changeset = peer.state.changeset(id) else { return nil }
    var present: Set<String> = []
    var away: Set<String> = []
    for member in peer.admitted.values {
      if case .slice(let slice) = changeset.scope,
        !peer.state.members(of: slice).contains(member.cluster)
      {
        continue
      }
      clusterOf[member.id] = member.cluster
      let isHere =
        member.id == peer.id || peer.membership.state(of: member.id).isPresent
      if isHere { present.insert(member.cluster) } else { away.insert(member.cluster) }
    }
    clusters = present.sorted()
    dead = away.subtracting(present).sorted()
  }
}
