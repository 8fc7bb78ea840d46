internal import Base
internal import Foundation
internal import Kubernetes

/// Finds out how the API server is reached: a kubeconfig where one is named, else the pod's own
/// ServiceAccount.
enum AccessLoader {
  static let fileLimit = 1 << 20

  /// - Parameters:
  ///   - kubeconfig: paths separated by colons, as in `KUBECONFIG`; empty: in the cluster.
  ///   - context: empty: the current one.
  static func load(
    kubeconfig: String, context: String, environment: [String: String]
  ) throws -> ClusterAccess {
    guard !kubeconfig.isEmpty else {
      let folder = ClusterAccess.serviceAccount
      let namespace = try? text("\(folder)/namespace")
      return try ClusterAccess.inCluster(
        environment: environment, namespace: namespace, folder: folder)
    }
    var merged = Kubeconfig()
    for path in kubeconfig.split(separator: ":").map({ String($0) }) {
      let document = try YAMLDocument.parse(try text(path), file: path)
      let folder = URL(filePath: path).deletingLastPathComponent().path
      do throws(AccessError) {
        try merged.merge(document.value, folder: folder)
      } catch {
        throw LocatedError(file: path, reason: "\(error)")
      }
    }
    return try merged.access(context: context)
  }

  static func bytes(_ path: String) throws(TransportFailure) -> [UInt8] {
    guard let data = FileManager.default.contents(atPath: path), data.count <= fileLimit else {
      throw .noCredentials("\(path) cannot be read")
    }
    return Array(data)
  }

  private static func text(_ path: String) throws -> String {
    guard let data = FileManager.default.contents(atPath: path), data.count <= fileLimit else {
      throw LocatedError(file: path, reason: "cannot be read")
    }
    return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
  }
}
