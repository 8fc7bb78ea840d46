public import Base

/// The peers that the signed state admits, this one among them: immutable and shared. Members of a
/// peer's scopes are kept by their place in its roster.
public final class Admission: Sendable {
  public let roster: Roster
  /// By place, so in the order of IDs.
  public let values: [AdmittedPeer]

  public static let empty = Admission([])

  /// Of several with one ID the last counts.
  public init(_ peers: some Sequence<AdmittedPeer>) {
    var sorted = Array(peers)
    if !zip(sorted, sorted.dropFirst()).allSatisfy({ $0.id < $1.id }) {
      let byID = Dictionary(sorted.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
      sorted = byID.values.sorted { $0.id < $1.id }
    }
    values = sorted
    roster = Roster(sorted.lazy.map(\.id))
  }

  public var count: Int { values.count }

  /// `nil`: it is not admitted.
  public subscript(id: NodeID) -> AdmittedPeer? { roster.place(of: id).map { values[$0] } }

  func adding(_ peers: [AdmittedPeer]) -> Admission { Admission(values + peers) }

  func removing(_ ids: [NodeID]) -> Admission {
    Admission(values.filter { !ids.contains($0.id) })
  }
}
