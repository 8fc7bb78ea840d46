public import Base
public import Replication
public import Slices

/// Registers as a peer's API answered them, for planning and for the contexts of new writes.
public struct RemoteState: RegisterSource, Sendable {
  public let clusterSet: Digest
  /// The peer's clock when it answered.
  public let time: HybridTime
  private var registers: [Scope: [String: APIRegister]] = [:]

  public init(_ answers: [APIRegisters]) throws(AdminError) {
    guard let first = answers.first else {
      throw AdminError(.failed, "the peer answered without registers")
    }
    clusterSet = first.clusterSet
    time = answers.map(\.hlc).max() ?? first.hlc
    for register in answers.flatMap(\.registers) {
      registers[register.scope, default: [:]][register.path] = register
    }
  }

  /// All registers that the peer holds and a plan may need.
  public static func read(from client: PeerClient) async throws -> RemoteState {
    try RemoteState([try await client.get("/v1/registers", as: APIRegisters.self)])
  }

  public func entry(_ path: String, in scope: Scope) -> APIRegister? {
    registers[scope]?[path]
  }

  public func register(_ path: String, in scope: Scope) -> Slices.Register? {
    guard let entry = entry(path, in: scope), let winner = entry.values.first,
      let value = winner.value
    else { return nil }
    return Slices.Register(value: value, time: winner.hlc, changeset: winner.changeset)
  }

  public func paths(withPrefix prefix: String, in scope: Scope) -> [String] {
    (registers[scope] ?? [:]).values
      .filter { $0.effective != nil && $0.path.utf8.starts(with: prefix.utf8) }
      .map(\.path).sorted()
  }
}
