public import Base

/// `~/.kube/config` and the files of `KUBECONFIG`, merged as kubectl does: of two entries with one
/// name the first file's counts, `current-context` is that of the first file that sets one, and
/// relative paths are relative to the file that they stand in.
public struct Kubeconfig: Hashable, Sendable {
  private var clusters: [String: Entry] = [:]
  private var users: [String: Entry] = [:]
  private var contexts: [String: Entry] = [:]
  public private(set) var currentContext = ""

  private struct Entry: Hashable, Sendable {
    var value: Value
    /// Folder of its file, without a slash behind.
    var folder: String
  }

  public static let entryLimit = 1000

  public init() {}

  /// Ascending.
  public var contextNames: [String] { contexts.keys.sorted() }

  /// Adds a file behind those that were added before.
  ///
  /// - Parameter folder: the file's folder, absolute.
  public mutating func merge(_ document: Value, folder: String) throws(AccessError) {
    if let version = document["apiVersion"]?.string, version != "v1" {
      throw .invalid("apiVersion", "\(version.prefix(64)) is not known; allowed: v1")
    }
    try Self.add(document, "clusters", "cluster", folder, to: &clusters)
    try Self.add(document, "users", "user", folder, to: &users)
    try Self.add(document, "contexts", "context", folder, to: &contexts)
    if currentContext.isEmpty { currentContext = document["current-context"]?.string ?? "" }
  }

  private static func add(
    _ document: Value, _ list: String, _ member: String, _ folder: String,
    to entries: inout [String: Entry]
  ) throws(AccessError) {
    guard let value = document[list], value != .null else { return }
    guard let items = value.list, items.count <= entryLimit else {
      throw .invalid(list, "expected a list of at most \(entryLimit)")
    }
    for (index, item) in items.enumerated() {
      guard let name = item["name"]?.string, !name.isEmpty else {
        throw .invalid("\(list)[\(index)].name", "is missing")
      }
      guard entries[name] == nil else { continue }
      entries[name] = Entry(value: item[member] ?? .null, folder: folder)
    }
  }

  /// - Parameter context: empty: the current one.
  public func access(context name: String = "") throws(AccessError) -> ClusterAccess {
    let name = name.isEmpty ? currentContext : name
    guard !name.isEmpty else { throw .invalid("current-context", "is not set") }
    guard let context = contexts[name] else {
      throw .invalid("contexts[\(name)]", "there is no such context")
    }
    let path = "contexts[\(name)]"
    guard let clusterName = context.value["cluster"]?.string, let cluster = clusters[clusterName]
    else { throw .invalid("\(path).cluster", "there is no such cluster") }
    let userName = context.value["user"]?.string ?? ""
    guard userName.isEmpty || users[userName] != nil else {
      throw .invalid("\(path).user", "there is no such user")
    }
    var access = try Self.read(cluster, at: "clusters[\(clusterName)]")
    if let user = users[userName] {
      access.credentials = try Self.credentials(user, at: "users[\(userName)]")
    }
    if let namespace = context.value["namespace"]?.string, !namespace.isEmpty {
      access.namespace = namespace
    }
    return access
  }

  private static func read(_ entry: Entry, at path: String) throws(AccessError) -> ClusterAccess {
    let value = entry.value
    guard var server = value["server"]?.string, !server.isEmpty else {
      throw .invalid("\(path).server", "is missing")
    }
    guard server.lowercased().hasPrefix("https://") else {
      throw .refused("\(path).server", "only https:// is spoken: credentials travel with it")
    }
    if value["insecure-skip-tls-verify"]?.bool == true {
      throw .refused(
        "\(path).insecure-skip-tls-verify",
        "the server's certificate is always checked; give certificate-authority-data")
    }
    if let proxy = value["proxy-url"]?.string, !proxy.isEmpty {
      throw .refused("\(path).proxy-url", "proxies are not supported")
    }
    while server.hasSuffix("/") { server.removeLast() }
    guard
      let authority = try material(
        entry, "certificate-authority-data", "certificate-authority", at: path)
    else {
      throw .invalid(
        "\(path).certificate-authority-data", "is missing; the system's roots are never used")
    }
    return ClusterAccess(
      server: server, certificateAuthority: authority,
      serverName: value["tls-server-name"]?.string)
  }

  private static func credentials(
    _ entry: Entry, at path: String
  ) throws(AccessError) -> ClusterAccess.Credentials {
    let value = entry.value
    for name in ["username", "password", "auth-provider", "as"] where value[name]?.isSet == true {
      throw .refused("\(path).\(name)", "is not supported; use exec, token or a certificate")
    }
    let certificate = try material(
      entry, "client-certificate-data", "client-certificate", at: path)
    let key = try material(entry, "client-key-data", "client-key", at: path)
    if let certificate {
      guard let key else { throw .invalid("\(path).client-key-data", "is missing") }
      return .certificate(certificate: certificate, key: key)
    }
    // A file that can be renewed is better than a copy of what it held.
    if let file = value["tokenFile"]?.string, !file.isEmpty {
      return .tokenFile(absolute(file, entry.folder))
    }
    if let token = value["token"]?.string, !token.isEmpty { return .token(token) }
    if let exec = value["exec"], exec != .null {
      return .exec(try ExecPlugin(exec, folder: entry.folder, at: "\(path).exec"))
    }
    return .none
  }

  /// Data in the document goes before a file's path, as in kubectl.
  private static func material(
    _ entry: Entry, _ data: String, _ file: String, at path: String
  ) throws(AccessError) -> ClusterAccess.Material? {
    if let text = entry.value[data]?.string, !text.isEmpty {
      guard let bytes = Base64.decode(text), !bytes.isEmpty else {
        throw .invalid("\(path).\(data)", "is not base64")
      }
      return .bytes(bytes)
    }
    guard let name = entry.value[file]?.string, !name.isEmpty else { return nil }
    return .file(absolute(name, entry.folder))
  }

  static func absolute(_ path: String, _ folder: String) -> String {
    path.hasPrefix("/") ? path : "\(folder)/\(path)"
  }
}

extension Value {
  fileprivate var isSet: Bool { self != .null && self != "" && self != .list([]) }
}
