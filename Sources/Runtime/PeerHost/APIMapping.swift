internal import Base
internal import Peer
internal import Replication
internal import Slices
internal import Wire

// From the cores' values to the API's.

extension APIRegister {
  init(_ register: RegisterState) {
    self.init(
      path: register.path, scope: register.scope,
      values: register.values.map(APIRegisterValue.init), context: register.context)
  }
}

extension APIRegisterValue {
  init(_ value: RegisterValue) {
    self.init(
      value: value.value, author: value.author, counter: value.counter, context: value.context,
      hlc: value.time, changeset: value.changeset, under: value.under)
  }
}

extension APIChangeset {
  init(_ entry: LogEntry, receivedAt: APITime? = nil, raw: [UInt8]? = nil) {
    let state: State
    var reason = ""
    switch entry.outcome {
    case .accepted, .duplicate, .superseded:
      state = entry.quarantine == nil ? .counting : .quarantined
      reason = entry.quarantine ?? ""
    case .notCounting(let why):
      state = .void
      reason = "\(why)"
    case .pending:
      state = .pending
      reason = entry.outcome.sentence
    case .held:
      state = .held
      reason = entry.outcome.sentence
    case .refused(let why):
      state = .refused
      reason = "\(why)"
    }
    self.init(
      entry.changeset, state: state, reason: reason, receivedAt: receivedAt,
      bytes: entry.changeset.body.count, raw: raw)
  }
}

extension APIPushResult {
  init(_ verdict: Peer.Verdict) {
    switch verdict.outcome {
    case .accepted, .superseded:
      self.init(id: verdict.id, outcome: .accepted)
    case .duplicate:
      self.init(id: verdict.id, outcome: .duplicate, reason: verdict.outcome.sentence)
    case .pending:
      self.init(
        id: verdict.id, outcome: .pending, reason: verdict.outcome.sentence,
        fix: "Push the grants above it too.")
    case .held:
      self.init(
        id: verdict.id, outcome: .held, reason: verdict.outcome.sentence,
        fix: "It is taken when its time comes.")
    case .notCounting:
      self.init(
        id: verdict.id, outcome: .refused, reason: verdict.outcome.sentence,
        fix: "See who revoked it: starling log.")
    case .refused(let why):
      self.init(
        id: verdict.id, outcome: .refused, reason: "\(why)",
        fix: "See: starling log --rejected")
    }
  }
}

extension APIGrant {
  init(_ grant: GrantState, in peer: Peer) {
    let now = WallClock.now.wallMilliseconds
    var state = State.valid
    var detail = ""
    if let void = grant.void {
      state = .void
      detail = "\(void)"
    } else if grant.successor != nil {
      state = .superseded
      detail = "a root change took its place"
    } else if grant.isClosed {
      state = .void
      detail = grant.isToken ? "sealed" : "revoked; what was kept under it lives on"
    } else if grant.isExpired(at: now) {
      state = .expired
      detail = "its time is over"
    }
    self.init(
      id: grant.id, under: grant.parent, subject: grant.root == nil ? grant.grant.subject : nil,
      rootKeys: grant.root?.keys, rootThreshold: grant.root?.threshold,
      capabilities: grant.grant.capabilities,
      notAfter: grant.grant.notAfterMilliseconds.map(APITime.init(milliseconds:)),
      delegationDepth: grant.grant.delegationDepth, author: grant.grantor,
      hlc: grant.time ?? .zero, message: peer.state.changeset(grant.id)?.message ?? "",
      state: state, detail: detail)
  }
}

extension StateAlarm {
  var conflictKind: APIConflict.Kind {
    switch self {
    case .rivalEnrolments: .token
    case .rivalRoots: .root
    case .overQuota: .register
    }
  }

  var subject: Digest {
    switch self {
    case .rivalEnrolments(let token, _): token
    case .rivalRoots(let version, _, _): version
    case .overQuota(let grant, _, _): grant
    }
  }

  var fix: String {
    switch self {
    case .rivalEnrolments(let token, _):
      "Seal the right one: starling token seal \(token.hex) ENROLMENT"
    case .rivalRoots: "Compare with the other root holders; change the root again if need be."
    case .overQuota: "Revoke the grant, or grant the key more."
    }
  }
}

extension ViewProblem {
  var conflictKind: APIConflict.Kind? {
    switch reason {
    case .addressConflict: .address
    case .exportConflict, .aliasConflict: .export
    default: nil
    }
  }
}
