public import Base
internal import FoundationEssentials
public import Replication
public import Slices

/// The converged registers as one peer answered them, with what a new write has to know.
public struct RegisterSnapshot: Sendable {
  /// What plans read.
  public private(set) var table = RegisterTable()
  private var contexts: [RegisterName: VersionVector] = [:]
  /// The greatest HLC reading that was seen: a new changeset's is greater.
  public private(set) var latest: HybridTime = .zero
  public private(set) var clusterSet: Digest?

  /// Nothing is known: the first signature of a ClusterSet.
  public init() {}

  public init(_ answer: APIRegisters) {
    clusterSet = answer.clusterSet
    latest = answer.hlc
    for register in answer.registers {
      let name = RegisterName(scope: register.scope, path: register.path)
      contexts[name] = register.context
      for value in register.values { latest = max(latest, value.hlc) }
      if let first = register.values.first, let value = first.value {
        table[register.path, register.scope] = Register(
          value: value, time: first.hlc, changeset: first.changeset)
      }
    }
  }

  /// All dots seen of a register: the context of a write that follows them.
  public func context(of path: String, in scope: Scope = .clusterset) -> VersionVector {
    contexts[RegisterName(scope: scope, path: path)] ?? VersionVector()
  }

  /// Adds a changeset that was signed here and has not reached the peer yet, so that the next one
  /// follows it instead of making its dots again.
  public mutating func include(_ changeset: Changeset) {
    latest = max(latest, changeset.time)
    for write in changeset.writes {
      let name = RegisterName(scope: changeset.scope, path: write.path)
      var context = contexts[name] ?? VersionVector()
      guard !context.covers(changeset.author, write.counter) else { continue }
      context.merge(write.context)
      context.include(changeset.author, write.counter)
      contexts[name] = context
      table[write.path, changeset.scope] = write.value.map {
        Register(value: $0, time: changeset.time, changeset: changeset.id)
      }
    }
  }

  /// Plans of the same command build on one another.
  public mutating func apply(_ writes: [RegisterWrite]) {
    table.apply(writes, time: latest)
  }

  /// Names the state of a slice's registers: another one as soon as any of them is written to.
  public func base(ofSlice slice: String) -> Digest {
    var writer = ByteWriter()
    let prefix = "slice/\(slice)/"
    let names = contexts.keys.filter {
      $0.scope == .clusterset && ($0.path == "slice/\(slice)" || $0.path.hasPrefix(prefix))
    }
    for name in names.sorted() {
      writer.text(name.path)
      let entries = contexts[name]?.entries ?? []
      writer.u32(UInt32(truncatingIfNeeded: entries.count))
      for entry in entries {
        writer.bytes32(entry.author)
        writer.u64(entry.counter)
      }
    }
    return Sodium.sha256(writer.bytes)
  }
}
