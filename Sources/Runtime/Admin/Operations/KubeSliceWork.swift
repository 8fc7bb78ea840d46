internal import Base
internal import Slices

extension AdminSession {
  /// Reads KubeSlice's objects from files; writes manifests, or exports, and what is to be known.
  public func importKubeSlice(
    _ paths: [String], exports: Bool, cluster: String?, isStrict: Bool
  ) throws(AdminError) {
    guard !paths.isEmpty else { throw .usage("no file is named", fix: "Give one with -f.") }
    var documents: [Value] = []
    for path in paths {
      let text = try TextFile.read(path)
      do throws(LocatedError) {
        documents += try YAMLDocument.parseAll(
          text, file: path == "-" ? "standard input" : path
        ).map(\.value)
      } catch {
        throw .usage(error.description)
      }
    }
    let found = KubeSliceImport(documents)
    print(exports ? Self.text(found.exports, cluster: cluster) : Self.text(found.manifests))
    for item in found.notes { note(item.description) }
    let refused = found.notes.count { $0.kind == .refused }
    note(
      "\(found.manifests.count) slices, \(found.exports.count) exports, \(refused) refused, "
        + "\(found.notes.count - refused) notes")
    if isStrict, refused > 0 {
      throw AdminError(.failed, "\(refused) of them cannot be taken over")
    }
  }

  private static func text(_ manifests: [SliceManifest]) -> String {
    manifests.map { ManifestFile.text($0, base: nil) }.joined(separator: "---\n")
  }

  /// - Parameter cluster: exports of others are left out; `nil`: all, with their cluster as a comment.
  private static func text(_ exports: [KubeSliceImport.Export], cluster: String?) -> String {
    exports.filter { cluster == nil || $0.cluster.isEmpty || $0.cluster == cluster }.map { export in
      let aliases =
        export.aliases.isEmpty
        ? ""
        : "  annotations: {starling.dev/aliases: \"\(export.aliases.joined(separator: ","))\"}\n"
      return """
        # slice \(export.slice)\(export.cluster.isEmpty ? "" : ", cluster \(export.cluster)")
        apiVersion: multicluster.x-k8s.io/v1beta1
        kind: ServiceExport
        metadata:
          name: \(export.service.name)
          namespace: \(export.service.namespace)
        \(aliases)
        """
    }.joined(separator: "---\n")
  }
}
