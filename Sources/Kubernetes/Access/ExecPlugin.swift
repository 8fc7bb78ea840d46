internal import Base

/// A program that hands out credentials (`client.authentication.k8s.io`, v1 and v1beta1).
public struct ExecPlugin: Hashable, Sendable {
  public var command: String
  public var arguments: [String]
  public var environment: [String: String]
  public var apiVersion: String
  /// The program wants to know the cluster (`spec.cluster` of its input).
  public var provideClusterInfo: Bool

  public static let versions = [
    "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1",
  ]
  static let itemLimit = 256

  public init(
    command: String, arguments: [String] = [], environment: [String: String] = [:],
    apiVersion: String = versions[0], provideClusterInfo: Bool = false
  ) {
    self.command = command
    self.arguments = arguments
    self.environment = environment
    self.apiVersion = apiVersion
    self.provideClusterInfo = provideClusterInfo
  }

  init(_ value: Value, folder: String, at path: String) throws(AccessError) {
    guard let command = value["command"]?.string, !command.isEmpty else {
      throw .invalid("\(path).command", "is missing")
    }
    apiVersion = value["apiVersion"]?.string ?? ""
    guard Self.versions.contains(apiVersion) else {
      throw .invalid(
        "\(path).apiVersion", "allowed: \(Self.versions.joined(separator: ", "))")
    }
    if value["interactiveMode"]?.string == "Always" {
      throw .refused("\(path).interactiveMode", "there is nobody to ask")
    }
    // A bare name is looked for in PATH; a path with a slash is relative to the file.
    self.command =
      command.utf8.contains(UInt8(ascii: "/")) ? Kubeconfig.absolute(command, folder) : command
    let items = value["args"]?.list ?? []
    let variables = value["env"]?.list ?? []
    guard items.count <= Self.itemLimit, variables.count <= Self.itemLimit else {
      throw .invalid(path, "more than \(Self.itemLimit) arguments or variables")
    }
    arguments = items.compactMap(\.string)
    environment = variables.reduce(into: [:]) { out, item in
      if let name = item["name"]?.string { out[name] = item["value"]?.string ?? "" }
    }
    provideClusterInfo = value["provideClusterInfo"]?.bool ?? false
  }

  /// What the program finds in `KUBERNETES_EXEC_INFO`.
  public func input(server: String, certificateAuthority: [UInt8]) -> JSON {
    let cluster: JSON = [
      "server": .string(server),
      "certificate-authority-data": .string(Base64.encode(certificateAuthority)),
    ]
    return [
      "apiVersion": .string(apiVersion), "kind": "ExecCredential",
      "spec": .object(["interactive": false, "cluster": provideClusterInfo ? cluster : nil]),
    ]
  }
}

/// What an exec plugin answered.
public struct ExecCredential: Hashable, Sendable {
  public var token: String?
  /// PEM.
  public var certificate: [UInt8]?
  public var key: [UInt8]?
  /// Wall clock; `nil`: good until it is refused.
  public var expiresMilliseconds: UInt64?

  public init(
    token: String? = nil, certificate: [UInt8]? = nil, key: [UInt8]? = nil,
    expiresMilliseconds: UInt64? = nil
  ) {
    self.token = token
    self.certificate = certificate
    self.key = key
    self.expiresMilliseconds = expiresMilliseconds
  }

  /// - Parameter output: the program's standard output.
  public init(output: [UInt8], of plugin: ExecPlugin) throws(AccessError) {
    let answer: JSON
    do throws(JSONError) {
      answer = try JSON(parsing: output)
    } catch {
      throw .invalid("exec", "the answer of \(plugin.command) is no JSON: \(error)")
    }
    guard answer["kind"]?.string == "ExecCredential",
      answer["apiVersion"]?.string == plugin.apiVersion, let status = answer["status"]
    else {
      throw .invalid("exec", "\(plugin.command) gave no ExecCredential of \(plugin.apiVersion)")
    }
    token = status["token"]?.string.flatMap { $0.isEmpty ? nil : $0 }
    certificate = status["clientCertificateData"]?.string.map { Array($0.utf8) }
    key = status["clientKeyData"]?.string.map { Array($0.utf8) }
    guard token != nil || certificate != nil else {
      throw .invalid("exec", "\(plugin.command) gave neither a token nor a certificate")
    }
    guard (certificate == nil) == (key == nil) else {
      throw .invalid("exec", "\(plugin.command) gave a certificate or a key without the other")
    }
    if let text = status["expirationTimestamp"]?.string {
      guard let time = CivilDate.milliseconds(rfc3339: text) else {
        throw .invalid("exec", "\(plugin.command) gave an expiry that is no time")
      }
      expiresMilliseconds = time
    }
  }
}
