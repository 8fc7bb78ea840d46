internal import Base
public import Replication
public import Slices

/// What has to be written so that a cluster can do nothing any more.
public struct ClusterRemoval: Hashable, Sendable {
  public var cluster: String
  public var writes: [RegisterWrite]
  public var floors: [Floor]
  /// Slices that it is taken out of.
  public var slices: [String]

  public init(
    _ cluster: String, from snapshot: RegisterSnapshot, grants: [APIGrant], force: Bool
  ) throws(AdminError) {
    self.cluster = cluster
    let table = snapshot.table
    let path = SlicePath.cluster(cluster).text
    let own = grants.filter { grant in
      (grant.state == .valid || grant.state == .expired)
        && (grant.capabilities.contains(.own(cluster))
          || grant.capabilities.contains(.enrol(cluster)))
    }
    guard table.value(path) != nil || !own.isEmpty else {
      throw .usage("there is no cluster \"\(cluster)\"", fix: "See `starling get clusters`.")
    }
    let memberships = table.paths(withPrefix: "slice/", in: .clusterset).compactMap { path in
      if case .member(let slice, cluster) = SlicePath(path) { slice } else { String?.none }
    }
    slices = memberships
    guard memberships.isEmpty || force else {
      throw AdminError(
        .failed,
        "cluster \(cluster) is a member of: \(memberships.joined(separator: ", ")); "
          + "nothing was sent",
        fix: "Let it leave (starling slice leave SLICE \(cluster)), or give --force.")
    }
    writes = (table.value(path) == nil ? [] : [RegisterWrite(path: path, value: nil)])
    writes += memberships.map {
      RegisterWrite(path: SlicePath.member(slice: $0, cluster: cluster).text, value: nil)
    }
    floors = own.sorted { $0.id < $1.id }.map { Floor(grant: $0.id, time: .max, keep: []) }
  }

  /// - Parameter chain: the grants above one.
  func needs(chain: (Digest) -> Set<Digest>) -> [NeededRight] {
    [.hold(.admit)] + slices.map { .hold(.slice($0)) }
      + floors.map { .floor(on: $0.grant, by: chain($0.grant)) }
  }

  public func text(style: TextStyle) -> String {
    var lines = writes.map { style(.bad, "- \($0.path)") }
    lines += floors.map { style(.bad, "- grant \($0.grant.short), and all that is under it") }
    return lines.map { $0 + "\n" }.joined()
  }
}
