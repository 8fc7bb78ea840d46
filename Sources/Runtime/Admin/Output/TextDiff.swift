/// Lines that differ between two texts, in the unified form that people know.
public enum TextDiff {
  enum Line: Hashable {
    case same(String)
    case added(String)
    case removed(String)
  }

  /// Every line of both, in order.
  static func lines(_ old: [String], _ new: [String]) -> [Line] {
    let difference = new.difference(from: old)
    var removed: Set<Int> = []
    var added: Set<Int> = []
    for change in difference {
      switch change {
      case .remove(let offset, _, _): removed.insert(offset)
      case .insert(let offset, _, _): added.insert(offset)
      }
    }
    var out: [Line] = []
    var (i, j) = (0, 0)
    while i < old.count || j < new.count {
      if i < old.count, removed.contains(i) {
        out.append(.removed(old[i]))
        i += 1
      } else if j < new.count, added.contains(j) {
        out.append(.added(new[j]))
        j += 1
      } else if i < old.count {
        out.append(.same(old[i]))
        i += 1
        j += 1
      } else {
        break
      }
    }
    return out
  }

  /// Empty where the texts are equal.
  public static func unified(
    _ old: String, _ new: String, from: String, to: String, context: Int = 3,
    style: TextStyle = .plain
  ) -> String {
    guard old != new else { return "" }
    func split(_ text: String) -> [String] {
      text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
        .dropLast(text.hasSuffix("\n") || text.isEmpty ? 1 : 0)
    }
    let all = lines(split(old), split(new))
    let changed = all.indices.filter { if case .same = all[$0] { false } else { true } }
    var shown: Set<Int> = []
    for index in changed {
      shown.formUnion(max(0, index - context)...min(all.count - 1, index + context))
    }
    var out = style(.strong, "--- \(from)") + "\n" + style(.strong, "+++ \(to)") + "\n"
    var (oldLine, newLine, previous) = (1, 1, -2)
    for (index, line) in all.enumerated() {
      if shown.contains(index) {
        if index != previous + 1 { out += style(.faint, "@@ -\(oldLine) +\(newLine) @@") + "\n" }
        previous = index
        switch line {
        case .same(let text): out += " \(text)\n"
        case .added(let text): out += style(.good, "+\(text)") + "\n"
        case .removed(let text): out += style(.bad, "-\(text)") + "\n"
        }
      }
      if case .added = line {} else { oldLine += 1 }
      if case .removed = line {} else { newLine += 1 }
    }
    return out
  }
}
