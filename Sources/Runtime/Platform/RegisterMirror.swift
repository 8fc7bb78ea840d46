internal import Replication
internal import Slices

/// The registers of slices and clusters outside of the peer's loop: reconcilers read here while the
/// peer goes on. The loop hands over what changed, so that neither waits for the other.
struct RegisterMirror: RegisterSource, Sendable {
  private struct Table: Sendable {
    var registers: [String: Slices.Register] = [:]
    /// Ascending.
    var paths: [String] = []

    /// Where a path is among `paths`, or would be.
    func place(of path: String) -> Int {
      var low = 0
      var high = paths.count
      while low < high {
        let middle = (low + high) / 2
        if paths[middle] < path { low = middle + 1 } else { high = middle }
      }
      return low
    }
  }

  private var tables: [Scope: Table] = [:]

  func register(_ path: String, in scope: Scope) -> Slices.Register? {
    tables[scope]?.registers[path]
  }

  func paths(withPrefix prefix: String, in scope: Scope) -> [String] {
    guard let table = tables[scope] else { return [] }
    return Array(table.paths[table.place(of: prefix)...].prefix { $0.hasPrefix(prefix) })
  }

  /// What the loop hands over.
  struct Changes: Sendable {
    /// Scopes as they are now, whole.
    var scopes: [Scope: [String: Slices.Register]] = [:]
    /// `nil`: the register is gone.
    var registers: [(name: RegisterName, register: Slices.Register?)] = []
  }

  mutating func apply(_ changes: Changes) {
    for (scope, registers) in changes.scopes {
      tables[scope] = Table(registers: registers, paths: registers.keys.sorted())
    }
    for (name, register) in changes.registers {
      put(register, name.path, &tables[name.scope, default: Table()])
    }
  }

  private func put(_ register: Slices.Register?, _ path: String, _ table: inout Table) {
    let old = table.registers[path]
    table.registers[path] = register
    guard (old == nil) != (register == nil) else { return }
    let place = table.place(of: path)
    if register == nil {
      table.paths.remove(at: place)
    } else {
      table.paths.insert(path, at: place)
    }
  }
}

extension RegisterMirror.Changes {
  /// On the peer's loop.
  ///
  /// - Parameter names: what was told to have changed; `nil`: everything is wanted.
  init(_ names: Set<RegisterName>?, from state: ReplicatedState) {
    let source = StateRegisters(state: state)
    guard let names else {
      read(.clusterset, source)
      for path in source.paths(withPrefix: "slice/", in: .clusterset) {
        if case .slice(let slice) = SlicePath(path) { read(.slice(slice), source) }
      }
      return
    }
    for name in names {
      switch SlicePath(name.path) {
      // A slice's scope may have been here, unread, before the slice was.
      case .slice(let slice), .member(let slice, _): read(.slice(slice), source)
      default: break
      }
    }
    registers = names.map { ($0, source.register($0.path, in: $0.scope)) }
  }

  private mutating func read(_ scope: Scope, _ source: StateRegisters) {
    guard scopes[scope] == nil else { return }
    var out: [String: Slices.Register] = [:]
    for path in source.paths(withPrefix: "", in: scope) {
      out[path] = source.register(path, in: scope)
    }
    scopes[scope] = out
  }
}
