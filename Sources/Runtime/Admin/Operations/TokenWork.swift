public import Base
internal import Replication
internal import Wire

/// A token, as `-o json` shows it. Field names are stable.
public struct TokenReport: Codable, Hashable, Sendable {
  /// Left out where it was written to a file.
  public var token: String?
  public var cluster: String
  public var grant: Digest
  public var notAfter: APITime
  public var seeds: [String]
  public var clusterSet: Digest
}

extension AdminSession {
  /// With the peer where one can be reached, else with what is in the context.
  public func makeToken(_ request: TokenRequest) async throws -> MadeToken {
    try request.check()
    guard try reachablePeer() != nil else { return try makeTokenOffline(request) }
    do {
      return try await withPeer { client in try await makeToken(request, with: client) }
    } catch let error as AdminError where error.status == .unreachable {
      guard try genesis() != nil else { throw error }
      note("\(error.message); the token is made without it")
      return try makeTokenOffline(request)
    }
  }

  public func hand(
    out made: MadeToken, to file: String?, _ format: OutputFormat
  ) throws(AdminError) {
    let text = made.token.text
    if let file { try TextFile.write(Array((text + "\n").utf8), to: file) }
    guard format.isStructured else {
      if let file {
        note("token for \(made.token.cluster) written to \(file), good until \(made.notAfter)")
      } else {
        print(text + "\n")
      }
      return
    }
    print(
      try format.text(
        TokenReport(
          token: file == nil ? text : nil, cluster: made.token.cluster, grant: made.token.grant,
          notAfter: made.notAfter, seeds: made.token.seeds, clusterSet: made.token.genesis.id)))
  }

  /// What enrolled under a token that is named by the first digits of its grant.
  public func enrolments(under text: String, _ client: PeerClient) async throws -> Enrolments {
    let grants = try await client.get("/v1/grants", as: APIGrants.self).grants
    let found = try GrantLookup.find(text, in: grants).filter { grant in
      grant.capabilities.contains { if case .enrol = $0 { true } else { false } }
    }
    guard let grant = found.first, found.count == 1,
      let enrolments = Enrolments(under: grant.id, in: grants)
    else {
      throw AdminError.usage(
        "\(text) is no join token", fix: "`starling get grants` shows enrol:<cluster>.")
    }
    guard !enrolments.enrolled.isEmpty else {
      throw AdminError(
        .failed, "no peer has enrolled with this token yet",
        fix: "To end it unused: starling revoke \(grant.id.short)")
    }
    return enrolments
  }

  /// Shows what enrolled, and seals the token by the one that is kept.
  public func seal(
    _ enrolments: Enrolments, keeping keep: String?, isConfirmed: Bool, _ client: PeerClient
  ) async throws {
    for grant in enrolments.enrolled {
      guard let key = grant.subject else { continue }
      note(
        "enrolled: \(grant.id.short)  key \(key.short)  "
          + "fingerprint \(Enrolments.fingerprint(key))  \(Age.text(grant.at, now: now)) ago")
    }
    let kept = try choose(from: enrolments, keeping: keep)
    try confirm(
      "Seal the token, keeping \(kept.short)?", isConfirmed: isConfirmed, isOptional: true)
    let report = try await seal(enrolments, keeping: kept, with: client)
    note("sealed: the token is void, the enrolment \(kept.short) is kept (\(report.id.short))")
  }

  private func choose(
    from enrolments: Enrolments, keeping keep: String?
  ) throws(AdminError) -> Digest {
    let candidates = enrolments.enrolled
    guard let keep else {
      if candidates.count == 1 { return candidates[0].id }
      throw AdminError(
        .failed, "\(candidates.count) peers enrolled with this token: it was copied",
        fix: "Compare fingerprints with `starling status` beside the right one, then: "
          + "starling token seal \(enrolments.token.id.short) --keep ID")
    }
    let wanted = keep.lowercased()
    let matches = candidates.filter {
      $0.id.hex.hasPrefix(wanted) || $0.subject?.hex.hasPrefix(wanted) ?? false
        || $0.subject.map { Enrolments.fingerprint($0).hasPrefix(wanted) } ?? false
    }
    guard matches.count == 1, wanted.utf8.count >= 4 else {
      throw .usage("\(keep) does not name one of the enrolments above")
    }
    return matches[0].id
  }
}

/// `starling join`.
public enum JoinWork {
  /// The token itself, `@file`, or `-`.
  public static func token(_ argument: String) throws(AdminError) -> String {
    var text = argument
    if argument == "-" {
      text = try TextFile.read("-", limit: JoinToken.maximumBytes)
    } else if argument.hasPrefix("@") {
      text = try TextFile.read(String(argument.dropFirst()), limit: JoinToken.maximumBytes)
    }
    do throws(WireError) {
      return try JoinToken(text, crypto: .sodium).text
    } catch {
      throw .usage(
        "this is not a join token: \(error)",
        fix: "A token begins with \(JoinToken.prefix) and is one line; from a file: @FILE.")
    }
  }

  public static func text(_ answer: APIJoinAnswer, style: TextStyle) -> String {
    let phase =
      answer.phase == .joined ? style(.good, "joined") : style(.warning, answer.phase.rawValue)
    return """
      \(answer.cluster): \(phase) \(answer.clusterSet.name) (\(answer.clusterSet.id.short))
      fingerprint \(Enrolments.fingerprint(answer.key))

      """
  }
}

extension AdminSession {
  /// - Parameter wait: until the peer is admitted; `nil`: not at all.
  public func join(
    _ token: String, _ client: PeerClient, wait: Duration?
  ) async throws -> APIJoinAnswer {
    let body = try OutputFormat.json.text(APIJoinRequest(token: token))
    var answer = try await client.post(
      "/v1/join", Array(body.utf8), mediaType: "application/json", as: APIJoinAnswer.self)
    guard let wait else { return answer }
    let clock = ContinuousClock()
    let end = clock.now + wait
    while answer.phase != .joined {
      guard clock.now < end else {
        throw AdminError(
          .timedOut, "the token was taken, and the peer has not joined yet",
          fix: "See `starling status` here, and whether the seeds can be reached.")
      }
      try await Task.sleep(for: .milliseconds(100))
      answer.phase = try await client.get("/v1/status", as: APIStatus.self).phase
    }
    return answer
  }
}
