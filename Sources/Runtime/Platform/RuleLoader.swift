internal import Slices

/// Puts packet rules into force. A slice whose rules the kernel refuses keeps those that were last in
/// force, so that one bad change holds up nobody else; it is tried again when its rules are others.
struct RuleLoader: Sendable {
  /// Checks a script without effect, or loads it.
  enum Action: Hashable, Sendable { case check, load }

  struct Refusal: Hashable, Sendable {
    var slice: NodeSlice
    var reason: String
  }

  /// By slice, what was refused.
  private(set) var refused: [String: Refusal] = [:]
  /// By slice, what is in force.
  private(set) var inForce: [String: NodeSlice] = [:]

  /// Throws where nothing could be loaded, whoever's rules they are; what was in force stays.
  mutating func load(
    _ slices: [NodeSlice], run: (Action, String) async throws(CommandError) -> Void
  ) async throws(CommandError) {
    refused = refused.filter { slices.contains($0.value.slice) }
    do throws(CommandError) {
      try await put(slices, run)
    } catch {
      let before = refused.count
      for slice in slices where refused[slice.slice] == nil {
        do throws(CommandError) {
          try await run(.check, NodeRules.script([slice]))
        } catch {
          refused[slice.slice] = Refusal(slice: slice, reason: error.reason)
        }
      }
      guard refused.count > before else { throw error }
      try await put(slices, run)
    }
  }

  /// Others took the rules away: the next `load` puts them back.
  mutating func forget() {
    inForce = [:]
  }

  private mutating func put(
    _ slices: [NodeSlice], _ run: (Action, String) async throws(CommandError) -> Void
  ) async throws(CommandError) {
    let wanted = slices.compactMap { refused[$0.slice] == nil ? $0 : inForce[$0.slice] }
    let next = Dictionary(wanted.map { ($0.slice, $0) }) { $1 }
    guard next != inForce else { return }
    try await run(.load, wanted.isEmpty ? NodeRules.removal : NodeRules.script(wanted))
    inForce = next
  }
}
