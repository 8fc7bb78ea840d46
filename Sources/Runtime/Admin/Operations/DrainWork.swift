internal import Base
internal import Replication
public import Slices

extension AdminSession {
  /// Takes a cluster's endpoints out of use everywhere, or puts them back. Established flows go on
  /// either way.
  public func drain(
    cluster: String, _ isDrained: Bool, _ request: ChangeRequest
  ) async throws {
    try await withPeer { client in
      let state = try await signingState(client)
      let plan = try DrainPlan(cluster, isDrained, state.snapshot)
      guard let write = plan.write else {
        note("cluster \(cluster) is \(isDrained ? "drained" : "in use") already")
        return
      }
      if !request.format.isStructured { print(plan.text(style: output)) }
      try confirm("Sign and send this?", isConfirmed: request.isConfirmed, isOptional: true)
      let key = try signingKey()
      let choice = try state.choice(
        for: key.publicKey, needs: [.hold(.admit)], under: request.under, now: now)
      try Delivery.check(choice)
      var builder = try state.builder(choice, signer: key.signer, now: now)
      let standard = "\(isDrained ? "drain" : "undrain") cluster \(cluster)"
      let changeset = try builder.changeset(
        writes: [write], message: request.message.isEmpty ? standard : request.message,
        after: state.snapshot)
      let delivery = Delivery(
        self, wait: request.wait, showsProgress: !request.format.isStructured)
      let report = try await delivery.send([changeset], outbox: state.outbox, to: client)
      try print(report, request.format) {
        (report.progressLine ?? "changeset \(changeset.id.short) accepted") + "\n"
      }
      try report.checkArrival()
    }
  }
}

/// The one register that drains a cluster; what else it says stays.
public struct DrainPlan: Hashable, Sendable {
  public var cluster: String
  public var isDrained: Bool
  /// `nil` where it is so already.
  public var write: RegisterWrite?
  /// Names that lose their last endpoints, ascending.
  public var orphans: [String]

  public init(
    _ cluster: String, _ isDrained: Bool, _ snapshot: RegisterSnapshot
  ) throws(AdminError) {
    self.cluster = cluster
    self.isDrained = isDrained
    orphans = []
    let path = SlicePath.cluster(cluster).text
    guard let value = snapshot.table.value(path) else {
      throw .usage("there is no cluster \"\(cluster)\"", fix: "See `starling get clusters`.")
    }
    let isNow = (try? ClusterAdmission(value))?.isDrained ?? false
    guard isNow != isDrained else { return }
    var fields = Dictionary(
      (value.fields ?? []).map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
    fields["drained"] = isDrained ? .bool(true) : nil
    write = RegisterWrite(path: path, value: .map(fields: fields))
    if isDrained { orphans = Self.orphans(cluster, ClustersetView(snapshot.table)) }
  }

  /// Services of which no other cluster in use has a ready endpoint.
  private static func orphans(_ cluster: String, _ view: ClustersetView) -> [String] {
    let out = view.drained.union([cluster])
    return view.slices.values.flatMap { slice in
      slice.services.filter { service in
        let serving = service.exports.filter { $0.endpoints.contains(where: \.ready) }
        return serving.contains { $0.cluster == cluster }
          && serving.allSatisfy { out.contains($0.cluster) }
      }.map { "\(slice.name)/\($0.service)" }
    }.sorted()
  }

  static let shownOrphans = 16

  public func text(style: TextStyle) -> String {
    let state = isDrained ? "drained" : "no longer drained"
    var out = write == nil ? "" : style(.warning, "~ cluster/\(cluster): \(state)") + "\n"
    for name in orphans.prefix(Self.shownOrphans) {
      out += style(.warning, "! \(name) has no endpoint elsewhere: nothing will serve it") + "\n"
    }
    if orphans.count > Self.shownOrphans {
      out += style(.warning, "! and \(orphans.count - Self.shownOrphans) more") + "\n"
    }
    return out
  }
}
