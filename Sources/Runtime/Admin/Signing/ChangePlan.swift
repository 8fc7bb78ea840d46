public import Base
internal import Replication
public import Slices

/// What one command changes: the plans of all its slices, as one.
public struct ChangePlan: Hashable, Sendable {
  public var slices: [SlicePlan]
  /// The registers' state that it was made from, by slice.
  public var bases: [String: Digest]

  public init(slices: [SlicePlan] = [], bases: [String: Digest] = [:]) {
    self.slices = slices
    self.bases = bases
  }

  /// Makes the state what the manifests say.
  public init(
    applying files: [ManifestFile], to snapshot: RegisterSnapshot
  ) throws(AdminError) {
    var snapshot = snapshot
    self.init()
    for file in files {
      let name = file.manifest.name
      bases[name] = snapshot.base(ofSlice: name)
      do throws(ManifestError) {
        let plan = try SlicePlan(applying: file.manifest, to: snapshot.table)
        snapshot.apply(plan.writes)
        slices.append(plan)
      } catch {
        throw .usage(
          error.errors.map { "\(file.file): \($0)" }.joined(separator: "\n"),
          fix: "Nothing was sent.")
      }
    }
  }

  public init(
    deleting name: String, from snapshot: RegisterSnapshot, force: Bool
  ) throws(AdminError) {
    self.init(bases: [name: snapshot.base(ofSlice: name)])
    do throws(ManifestError) {
      slices = [try SlicePlan(deleting: name, from: snapshot.table, force: force)]
    } catch {
      throw AdminError(
        .failed, error.description,
        fix: force ? "Nothing was sent." : "Nothing was sent. --force deletes it all the same.")
    }
  }

  public var isEmpty: Bool { slices.allSatisfy(\.isEmpty) }
  public var writes: [RegisterWrite] { slices.flatMap(\.writes) }
  public var changes: [PlanChange] { slices.flatMap(\.changes) }
  public var notes: [String] { slices.flatMap(\.notes) }

  /// Capabilities that its author needs.
  public var needs: [NeededRight] {
    slices.filter { !$0.isEmpty }.map { .hold(.slice($0.slice)) }
  }

  public func text(style: TextStyle) -> String {
    var out = ""
    for slice in slices {
      let base = bases[slice.slice].map { style(.faint, "  (base \($0.short))") } ?? ""
      out +=
        style(.strong, "slice \(slice.slice)") + ": "
        + (slice.isEmpty ? "no change" : slice.summary) + base + "\n"
      for line in slice.changes.flatMap(\.lines) {
        out += "  " + style(Self.tone(of: line), line) + "\n"
      }
      for note in slice.notes { out += "  " + style(.warning, "! \(note)") + "\n" }
    }
    return out
  }

  private static func tone(of line: String) -> TextStyle.Tone {
    switch line.first(where: { $0 != " " }) {
    case "+": .good
    case "-": .bad
    case "~": .warning
    default: .plain
    }
  }

  /// Fails where a slice is not in the state any more that a change was made from.
  ///
  /// - Parameter expected: digests or their first digits, by slice; a slice without one is not checked.
  public func check(unchanged expected: [String: String]) throws(AdminError) {
    for (slice, base) in expected.sorted(by: { $0.key < $1.key }) {
      guard let current = bases[slice], !current.hex.hasPrefix(base.lowercased()) else { continue }
      throw AdminError(
        .moved,
        "slice \(slice) was changed meanwhile: its base is \(current.short), not \(base); "
          + "nothing was sent",
        fix: "Look at `starling diff`, then try again.")
    }
  }
}
