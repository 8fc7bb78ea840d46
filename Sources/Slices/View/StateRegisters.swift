public import Replication

/// A peer's registers as planners and views read them.
public struct StateRegisters: RegisterSource {
  private let state: ReplicatedState

  public init(state: ReplicatedState) {
    self.state = state
  }

  public func register(_ path: String, in scope: Scope) -> Register? {
    guard let register = state.register(path, scope: scope), let value = register.value else {
      return nil
    }
    return Register(
      value: value, time: register.effective.time, changeset: register.effective.changeset)
  }

  public func paths(withPrefix prefix: String, in scope: Scope) -> [String] {
    state.paths(prefix: prefix, scope: scope)
  }
}
