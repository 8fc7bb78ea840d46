public import Base
internal import FoundationEssentials

/// A request as HTTP Message Signatures see it (RFC 9421, section 2).
public struct SignableRequest: Sendable {
  /// `GET`, `POST`.
  public var method: String
  /// `https` wherever signatures are used here.
  public var scheme: String
  /// The `Host` header: host, and port where it is not the scheme's own.
  public var authority: String
  /// As sent, with its query: `/v1/log?limit=5`.
  public var target: String
  /// Names in any case; several fields of one name in their order.
  public var fields: [(name: String, value: String)]

  public init(
    method: String, scheme: String = "https", authority: String, target: String,
    fields: [(name: String, value: String)] = []
  ) {
    self.method = method
    self.scheme = scheme
    self.authority = authority
    self.target = target
    self.fields = fields
  }

  /// The value of a component, `nil` where the request has not got it or it is not known here.
  func value(of component: String) -> String? {
    let cut = target.firstIndex(of: "?")
    switch component {
    case "@method": return method
    case "@scheme": return scheme
    case "@authority": return normalizedAuthority
    case "@request-target": return target
    case "@target-uri": return "\(scheme)://\(normalizedAuthority)\(target)"
    case "@path":
      let path = target[..<(cut ?? target.endIndex)]
      return path.isEmpty ? "/" : String(path)
    // Section 2.2.7: without a query the value is "?" alone.
    case "@query": return cut.map { String(target[$0...]) } ?? "?"
    default: return component.hasPrefix("@") ? nil : field(component)
    }
  }

  /// All values of one name, joined (section 2.1).
  func field(_ name: String) -> String? {
    let name = name.lowercased()
    let values = fields.filter { $0.name.lowercased() == name }.map { field in
      String(field.value.trimming { $0 == " " || $0 == "\t" })
    }
    return values.isEmpty ? nil : values.joined(separator: ", ")
  }

  /// Section 2.2.3: lower case, without the scheme's own port.
  private var normalizedAuthority: String {
    let lower = authority.lowercased()
    let port = scheme == "https" ? ":443" : ":80"
    return lower.hasSuffix(port) ? String(lower.dropLast(port.count)) : lower
  }
}

/// HTTP Message Signatures (RFC 9421) with Ed25519, and Content-Digest (RFC 9530): how a request over
/// the network shows which key it comes from.
///
/// Signed are the method, the authority, the path, the query and the digest of the body; the
/// signature is good for a minute and once.
public enum MessageSignature {
  /// Seconds between `created` and `expires`, and the clock difference that is borne.
  public static let windowSeconds: Int64 = 60
  /// Says what the signature is for, so that one made for another protocol is none here.
  public static let tag = "starling-api-v1"
  static let label = "sig1"
  static let components = ["@method", "@authority", "@path", "@query"]

  /// The fields to add to a request: `Content-Digest` where there is a body, `Signature-Input` and
  /// `Signature`.
  ///
  /// - Parameters:
  ///   - nowSeconds: wall clock, seconds since 1970.
  ///   - nonce: unique to the request; 16 random bytes are enough.
  public static func fields(
    signing request: SignableRequest, body: [UInt8], by signer: Signer, nowSeconds: Int64,
    nonce: [UInt8] = Sodium.randomBytes(16)
  ) -> [(name: String, value: String)] {
    var request = request
    var added: [(name: String, value: String)] = []
    var covered = components
    if !body.isEmpty {
      added.append(("Content-Digest", contentDigest(of: body)))
      covered.append("content-digest")
      request.fields.append(contentsOf: added)
    }
    let parameters: [StructuredField.Parameter] = [
      .init(name: "created", value: .integer(nowSeconds)),
      .init(name: "expires", value: .integer(nowSeconds + windowSeconds)),
      .init(name: "nonce", value: .string(nonce.hex)),
      .init(name: "keyid", value: .string(signer.publicKey.hex)),
      .init(name: "alg", value: .string("ed25519")),
      .init(name: "tag", value: .string(tag)),
    ]
    let items = covered.map { StructuredField.Item(value: .string($0)) }
    // All of these components exist in every request.
    let base = base(of: request, items, parameters) ?? []
    let signature = signer.sign(base)
    let input = StructuredField.serialized(items, parameters)
    added.append(("Signature-Input", "\(label)=\(input)"))
    added.append(
      ("Signature", "\(label)=\(StructuredField.Bare.bytes(signature.bytes).serialized)"))
    return added
  }

  /// `sha-256=:...:`
  public static func contentDigest(of body: [UInt8]) -> String {
    "sha-256=" + StructuredField.Bare.bytes(Sodium.sha256(body).bytes).serialized
  }

  /// Whether a Content-Digest names the body's SHA-256; digests by other algorithms are ignored, as
  /// RFC 9530 lets a receiver do.
  static func isDigest(_ field: String, of body: [UInt8]) -> Bool {
    guard let members = StructuredField.dictionary(field),
      case .item(let item) = members["sha-256"], case .bytes(let digest) = item.value
    else { return false }
    return digest == Sodium.sha256(body).bytes
  }

  /// The signature base (section 2.5); `nil` where a component is missing, is covered twice, has
  /// parameters or is not known.
  static func base(
    of request: SignableRequest, _ covered: [StructuredField.Item],
    _ parameters: [StructuredField.Parameter]
  ) -> [UInt8]? {
    var lines: [String] = []
    var seen: Set<String> = []
    for item in covered {
      guard item.parameters.isEmpty, case .string(let name) = item.value,
        seen.insert(name).inserted, name == name.lowercased(),
        let value = request.value(of: name),
        !value.utf8.contains(where: { $0 == 10 || $0 == 13 })
      else { return nil }
      lines.append("\"\(name)\": \(value)")
    }
    lines.append("\"@signature-params\": \(StructuredField.serialized(covered, parameters))")
    return Array(lines.joined(separator: "\n").utf8)
  }
}

extension StringProtocol {
  func trimming(_ unwanted: (Character) -> Bool) -> SubSequence {
    let head = drop(while: unwanted)
    guard let last = head.lastIndex(where: { !unwanted($0) }) else { return head.prefix(0) }
    return head[...last]
  }
}
