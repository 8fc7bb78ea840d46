internal import Naming
internal import Synchronization

/// Queries by what became of them; read by `/metrics`.
public final class DNSCounters: Sendable {
  private let answers = Mutex<[String: UInt64]>([:])

  func answered(_ outcome: Naming.Resolver.Outcome) {
    let label = outcome.length == 0 ? "silence" : "\(outcome.code)"
    answers.withLock { $0[label, default: 0] += 1 }
  }

  func failed() {
    answers.withLock { $0["notSent", default: 0] += 1 }
  }

  func refusedConnection() {
    answers.withLock { $0["connectionRefused", default: 0] += 1 }
  }

  /// By outcome: a response code's name, `silence`, `notSent`, `connectionRefused`.
  public var byOutcome: [String: UInt64] {
    answers.withLock { $0 }
  }
}
