/// How an API server is reached and who we are to it, before any file is read.
public struct ClusterAccess: Hashable, Sendable {
  /// `https://host:port`, without a path's last slash. Plain HTTP is refused: credentials would
  /// travel in the clear.
  public var server: String
  public var certificateAuthority: Material
  /// Name to check the server's certificate against instead of the host's.
  public var serverName: String?
  public var credentials: Credentials
  /// Where namespaced things go that name none.
  public var namespace: String

  /// Bytes that stand in a document, or in a file that is read again when it may have changed.
  public enum Material: Hashable, Sendable {
    case bytes([UInt8])
    case file(String)
  }

  public enum Credentials: Hashable, Sendable {
    case none
    case token(String)
    /// Read again every minute and after a refusal: kubelets replace tokens.
    case tokenFile(String)
    case certificate(certificate: Material, key: Material)
    case exec(ExecPlugin)
  }

  public init(
    server: String, certificateAuthority: Material, serverName: String? = nil,
    credentials: Credentials = .none, namespace: String = "default"
  ) {
    self.server = server
    self.certificateAuthority = certificateAuthority
    self.serverName = serverName
    self.credentials = credentials
    self.namespace = namespace
  }
}

/// Why there is no usable access.
public enum AccessError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is wrong, and where: `contexts[prod].cluster`.
  case invalid(String, String)
  /// Not supported on purpose, and why.
  case refused(String, String)
  case notInCluster(String)

  public var description: String {
    switch self {
    case .invalid(let path, let reason), .refused(let path, let reason): "\(path): \(reason)"
    case .notInCluster(let reason): "not in a cluster: \(reason)"
    }
  }
}

extension ClusterAccess {
  /// Folder of the ServiceAccount's token, CA and namespace in a pod.
  public static let serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

  /// Inside a pod: the environment names the server, files hold token and CA. Both files change
  /// during a pod's life.
  ///
  /// - Parameter namespace: what the file `namespace` beside them says.
  public static func inCluster(
    environment: [String: String], namespace: String?, folder: String = serviceAccount
  ) throws(AccessError) -> ClusterAccess {
    guard let host = environment["KUBERNETES_SERVICE_HOST"], !host.isEmpty else {
      throw .notInCluster("KUBERNETES_SERVICE_HOST is not set")
    }
    guard let port = environment["KUBERNETES_SERVICE_PORT"].flatMap({ UInt16($0) }), port > 0 else {
      throw .notInCluster("KUBERNETES_SERVICE_PORT is no port")
    }
    let authority = host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]" : host
    return ClusterAccess(
      server: "https://\(authority):\(port)", certificateAuthority: .file("\(folder)/ca.crt"),
      credentials: .tokenFile("\(folder)/token"),
      namespace: namespace.flatMap { $0.isEmpty ? nil : $0 } ?? "default")
  }
}
