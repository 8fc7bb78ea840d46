internal import Base
internal import Slices

/// What `starling` remembers between commands: which peer to talk to, which key to sign with, and the
/// genesis of the ClusterSet. A YAML file; paths in it are relative to its folder.
///
///     clusterSet: prod
///     genesis: genesis
///     key: root.key
///     peer: unix:///var/lib/starling/api.sock
///     ca: clusters.pem
public struct AdminContext: Hashable, Sendable {
  /// The file itself; it need not exist.
  public var path: String
  public var clusterSet: String?
  public var genesis: String?
  public var key: String?
  public var peer: String?
  /// Certificates (PEM) that the API's TLS certificate must chain to.
  public var ca: String?

  static let fields = ["clusterSet", "genesis", "key", "peer", "ca"]

  public init(path: String) {
    self.path = path
  }

  /// `--config`, else `STARLING_CONFIG`, else `~/.config/starling/config.yaml`.
  public static func path(flag: String?, environment: [String: String]) -> String {
    if let flag { return flag }
    if let path = environment["STARLING_CONFIG"], !path.isEmpty { return path }
    if let base = environment["XDG_CONFIG_HOME"], !base.isEmpty {
      return "\(base)/starling/config.yaml"
    }
    return "\(environment["HOME"] ?? "/root")/.config/starling/config.yaml"
  }

  /// An absent file is an empty context.
  public init(reading path: String) throws(AdminError) {
    self.init(path: path)
    guard TextFile.exists(path) else { return }
    try self.init(parsing: try TextFile.read(path), path: path)
  }

  init(parsing text: String, path: String) throws(AdminError) {
    self.init(path: path)
    let document: YAMLDocument
    do throws(LocatedError) {
      document = try YAMLDocument.parse(text, file: path)
    } catch {
      throw .usage(error.description)
    }
    guard let entries = document.value.fields else {
      throw .usage(document.error("", "is not a map of names to values").description)
    }
    for field in entries {
      guard Self.fields.contains(field.name) else {
        let nearest = NameRules.nearest(to: field.name, among: Self.fields)
        throw .usage(
          document.error(
            field.name, "is not known" + (nearest.map { "; did you mean \($0)?" } ?? ""),
            allowed: Self.fields.joined(separator: ", ")
          ).description)
      }
      guard let value = field.value.string, !value.isEmpty else {
        throw .usage(document.error(field.name, "is not text", allowed: "text").description)
      }
      switch field.name {
      case "clusterSet": clusterSet = value
      case "genesis": genesis = absolute(value)
      case "key": key = absolute(value)
      case "peer": peer = value
      default: ca = absolute(value)
      }
    }
  }

  public var folder: String { TextFile.directory(of: path) }

  private func absolute(_ file: String) -> String {
    file.hasPrefix("/") ? file : "\(folder)/\(file)"
  }

  private func relative(_ file: String) -> String {
    file.hasPrefix(folder + "/") ? String(file.dropFirst(folder.utf8.count + 1)) : file
  }

  public var yaml: String {
    let entries: [(String, String?)] = [
      ("clusterSet", clusterSet), ("genesis", genesis.map(relative)), ("key", key.map(relative)),
      ("peer", peer), ("ca", ca.map(relative)),
    ]
    return entries.compactMap { name, value in
      value.map { "\(name): \(OutputTree.quoted($0))\n" }
    }.joined()
  }

  public func save() throws(AdminError) {
    try TextFile.makeDirectory(folder)
    try TextFile.write(Array(yaml.utf8), to: path, replacing: true)
  }
}
