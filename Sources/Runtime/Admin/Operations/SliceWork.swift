internal import Base
internal import Replication
public import Slices

/// What a membership is to be; what is `nil` stays.
public struct SliceMembership: Hashable, Sendable {
  public var cluster: String
  public var namespaces: [String]?
  public var gateway: MemberGateway.Exposure?
  public var replicas: Int?
  public var block: Int?

  public init(
    cluster: String, namespaces: [String]? = nil, gateway: MemberGateway.Exposure? = nil,
    replicas: Int? = nil, block: Int? = nil
  ) {
    self.cluster = cluster
    self.namespaces = namespaces
    self.gateway = gateway
    self.replicas = replicas
    self.block = block
  }
}

/// Plans that change one thing of a slice.
public enum SliceWork {
  /// The slice as a manifest.
  public static func manifest(
    _ name: String, _ snapshot: RegisterSnapshot
  ) throws(AdminError) -> SliceManifest {
    do throws(ManifestError) {
      if let manifest = try SliceManifest(named: name, in: snapshot.table) { return manifest }
    } catch {
      throw AdminError(
        .failed, "slice \(name) is not valid as it is:\n\(error)",
        fix: "Apply a whole manifest of it.")
    }
    let known = snapshot.table.paths(withPrefix: "slice/", in: .clusterset).compactMap { path in
      if case .slice(let name) = SlicePath(path) { name } else { String?.none }
    }
    let hint = NameRules.nearest(to: name, among: known).map { "; did you mean \($0)?" } ?? ""
    throw .usage("there is no slice \"\(name)\"\(hint)", fix: "See `starling get slices`.")
  }

  public static func join(
    _ slice: String, _ membership: SliceMembership, _ snapshot: RegisterSnapshot
  ) throws(AdminError) -> ChangePlan {
    var manifest = try manifest(slice, snapshot)
    let index = manifest.members.firstIndex { $0.cluster == membership.cluster }
    var member = index.map { manifest.members[$0] } ?? SliceMember(cluster: membership.cluster)
    if let namespaces = membership.namespaces { member.namespaces = namespaces.sorted() }
    if let gateway = membership.gateway { member.gateway.type = gateway }
    if let replicas = membership.replicas { member.gateway.replicas = replicas }
    if let block = membership.block { member.block = block }
    if let index {
      manifest.members[index] = member
    } else {
      manifest.members.append(member)
    }
    return try plan(manifest, snapshot)
  }

  public static func leave(
    _ slice: String, _ cluster: String, _ snapshot: RegisterSnapshot
  ) throws(AdminError) -> ChangePlan {
    var manifest = try manifest(slice, snapshot)
    guard manifest.members.contains(where: { $0.cluster == cluster }) else {
      let members = manifest.members.map(\.cluster).joined(separator: ", ")
      throw .usage("\"\(cluster)\" is no member of slice \(slice)", fix: "Members are: \(members).")
    }
    manifest.members.removeAll { $0.cluster == cluster }
    return try plan(manifest, snapshot)
  }

  /// Through the document, so that the same rules are checked as of a manifest in a file.
  private static func plan(
    _ manifest: SliceManifest, _ snapshot: RegisterSnapshot
  ) throws(AdminError) -> ChangePlan {
    let checked: SliceManifest
    do throws(ManifestError) {
      checked = try SliceManifest(manifest.document())
    } catch {
      throw .usage(error.description, fix: "Nothing was sent.")
    }
    let file = ManifestFile(file: "slice \(manifest.name)", manifest: checked)
    return try ChangePlan(applying: [file], to: snapshot)
  }

  /// The state and the manifests as text, one under the other.
  public static func diff(
    _ files: [ManifestFile], _ snapshot: RegisterSnapshot, style: TextStyle
  ) throws(AdminError) -> String {
    var out = ""
    for file in files {
      let name = file.manifest.name
      var wanted = file.manifest
      var current = ""
      if let known = try? SliceManifest(named: name, in: snapshot.table) {
        var known = known
        // Blocks that the manifest leaves open, and the order of its members, are no difference.
        for (index, member) in wanted.members.enumerated() where member.block == nil {
          wanted.members[index].block = known.members.first { $0.cluster == member.cluster }?.block
        }
        known.members.sort { $0.cluster < $1.cluster }
        current = ManifestFile.text(known, base: nil)
      }
      wanted.members.sort { $0.cluster < $1.cluster }
      out += TextDiff.unified(
        current, ManifestFile.text(wanted, base: nil), from: "slice/\(name) (converged)",
        to: file.file, style: style)
    }
    return out
  }
}

extension AdminSession {
  /// Opens the editor on a slice until what is saved is valid. `nil` where nothing was changed.
  public func edit(slice name: String) async throws -> ManifestFile? {
    let (manifest, base) = try await withPeer { client in
      let snapshot = try await signingState(client).snapshot
      return (try SliceWork.manifest(name, snapshot), snapshot.base(ofSlice: name))
    }
    let original = ManifestFile.text(manifest, base: base.hex)
    var text = original
    while true {
      let saved = try Editor.edit(text, name: name, environment: environment)
      if saved == text || saved == original { return nil }
      do throws(AdminError) {
        let body = Self.withoutProblems(saved)
        let files = try ManifestFile.parse(body, file: "slice \(name)")
        guard files.count == 1, files[0].manifest.name == name else {
          throw .usage("the document is to be that of slice \(name), and no other")
        }
        if files[0].manifest == manifest { return nil }
        return files[0]
      } catch {
        guard Terminal.isTerminal(.output) else { throw error }
        let problems = error.message.split(separator: "\n").map { "\(Self.problemMark)\($0)\n" }
        text = problems.joined() + Self.withoutProblems(saved)
      }
    }
  }

  private static let problemMark = "# ! "

  private static func withoutProblems(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false)
      .filter { !$0.hasPrefix(problemMark) }.joined(separator: "\n")
  }
}
