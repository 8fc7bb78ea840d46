internal import Base
internal import Synchronization

/// Addresses of names that are looked up again and again: load balancers change theirs.
final class HostAddresses: Sendable {
  private struct State {
    var wanted: Set<String> = []
    var known: [String: [IPAddress]] = [:]
    var lookedUp = Instant.zero
  }

  static let interval: Duration = .seconds(30)
  static let limit = 16

  private let state = Mutex(State())
  private let resolver = AddressResolver()

  var addresses: [String: [IPAddress]] { state.withLock { $0.known } }

  func want(_ names: Set<String>) {
    state.withLock { state in
      let names = Set(names.sorted().prefix(Self.limit))
      if !names.isSubset(of: state.wanted) { state.lookedUp = .zero }
      state.wanted = names
    }
  }

  /// Where a name is not answered now, what it was stays.
  ///
  /// - Returns: whether any has another address now.
  func lookUp() async -> Bool {
    let now = WallClock.now.instant
    let names = state.withLock { state -> Set<String> in
      guard state.lookedUp == .zero || now - state.lookedUp >= Self.interval else { return [] }
      state.lookedUp = now
      return state.wanted
    }
    var isChanged = false
    for name in names.sorted() {
      // The port is of no account.
      let answer = (try? await resolver.resolve("\(name):1")) ?? []
      let found = Set(answer.map(\.address)).sorted()
      guard !found.isEmpty else { continue }
      let isNew = state.withLock { state in
        defer { state.known[name] = found }
        return state.known[name] != found
      }
      isChanged = isChanged || isNew
    }
    return isChanged
  }
}
