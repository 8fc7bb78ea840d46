internal import Replication
internal import Slices

/// A peer's registers as planners and views read them.
struct StateRegisters: RegisterSource {
  let state: ReplicatedState

  func register(_ path: String, in scope: Scope) -> Slices.Register? {
    guard let register = state.register(path, scope: scope), let value = register.value else {
      return nil
    }
    return Slices.Register(
      value: value, time: register.effective.time, changeset: register.effective.changeset)
  }

  func paths(withPrefix prefix: String, in scope: Scope) -> [String] {
    state.paths(prefix: prefix, scope: scope)
  }
}
