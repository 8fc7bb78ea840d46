public import Kubernetes

/// What a plugin prints on its standard output when it fails (CNI specification, section 5, Error).
public struct CNIError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Codes of the specification that occur here.
  public enum Code: Int, Hashable, Sendable {
    case incompatibleVersion = 1
    case unsupportedField = 2
    case invalidEnvironment = 4
    case failedIO = 5
    case undecodable = 6
    case invalidConfiguration = 7
    /// The runtime should try again.
    case tryAgain = 11
    /// Ours (100 and up belong to plugins): the kernel refused.
    case refusedByKernel = 100
    /// Ours: CHECK found something missing.
    case missing = 101
  }

  public var code: Code
  public var message: String
  public var details: String

  public init(_ code: Code, _ message: String, details: String = "") {
    self.code = code
    self.message = message
    self.details = details
  }

  /// - Parameter version: the configuration's, where it could be read.
  public func json(_ version: CNIVersion?) -> JSON {
    .object([
      "cniVersion": .string((version ?? .newest).rawValue), "code": .integer(Int64(code.rawValue)),
      "msg": .string(message), "details": details.isEmpty ? nil : .string(details),
    ])
  }

  public var description: String { details.isEmpty ? message : "\(message): \(details)" }
}
