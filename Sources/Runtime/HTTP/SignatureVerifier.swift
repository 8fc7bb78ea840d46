public import Base
internal import Synchronization

/// Why a request's signature was not taken.
public enum SignatureProblem: Error, Hashable, Sendable, CustomStringConvertible {
  case missing
  case malformed(String)
  /// A component that has to be covered is not.
  case uncovered(String)
  case outsideWindow(created: Int64, now: Int64)
  case digestMismatch
  case badSignature
  case replayed
  /// The cache of nonces is full of ones that are still good.
  case tooMany

  public var description: String {
    switch self {
    case .missing: "There is no Signature-Input and Signature."
    case .malformed(let what): "The signature is malformed: \(what)."
    case .uncovered(let component): "The signature does not cover \(component)."
    case .outsideWindow(let created, let now):
      "The signature was made at \(APITime(seconds: created)); here it is \(APITime(seconds: now))."
    case .digestMismatch: "The body is not the one that Content-Digest names."
    case .badSignature: "The signature does not verify."
    case .replayed: "This request was made before."
    case .tooMany: "Too many signed requests at once."
    }
  }

  /// What the caller can do.
  public var fix: String {
    switch self {
    case .missing: "Sign the request with a key that holds `read`, or use the Unix socket."
    case .outsideWindow: "Set both clocks right; they may differ by a minute."
    case .replayed: "Sign each request anew."
    case .tooMany: "Wait a moment and try again."
    default: ""
    }
  }
}

/// Checks signatures of requests and lets each pass once. Knows no rights: it says whose key it was.
public final class SignatureVerifier: Sendable {
  private let nonces: Mutex<NonceCache>

  /// - Parameter nonceLimit: signed requests within the window; above it they are refused. Only
  ///   verified signatures take a place.
  public init(nonceLimit: Int = 100_000) {
    nonces = Mutex(NonceCache(limit: nonceLimit))
  }

  /// The key that signed this request, for this body, now.
  public func verify(
    _ request: SignableRequest, body: [UInt8], nowSeconds: Int64
  ) throws(SignatureProblem) -> PublicKey {
    let input = try Self.input(of: request)
    let parameters = try Self.parameters(of: input, nowSeconds: nowSeconds)
    try Self.checkCoverage(input.covered, hasBody: !body.isEmpty)
    if !body.isEmpty {
      guard let digest = request.field("content-digest"),
        MessageSignature.isDigest(digest, of: body)
      else { throw .digestMismatch }
    }
    guard let base = MessageSignature.base(of: request, input.covered, input.parameters) else {
      throw .malformed("a covered component is missing or not known")
    }
    guard Sodium.verify(input.signature, base, by: parameters.key) else { throw .badSignature }
    try nonces.withLock { cache throws(SignatureProblem) in
      try cache.admit(
        NonceCache.Nonce(key: parameters.key, text: parameters.nonce),
        until: parameters.created + 2 * MessageSignature.windowSeconds, now: nowSeconds)
    }
    return parameters.key
  }

  private struct Input {
    var covered: [StructuredField.Item]
    var parameters: [StructuredField.Parameter]
    var signature: Signature
  }

  /// The signature with our tag, else the only one.
  private static func input(of request: SignableRequest) throws(SignatureProblem) -> Input {
    guard let inputField = request.field("signature-input"),
      let signatureField = request.field("signature")
    else { throw .missing }
    guard let inputs = StructuredField.dictionary(inputField),
      let signatures = StructuredField.dictionary(signatureField)
    else { throw .malformed("the fields are not dictionaries") }
    for label in inputs.keys.sorted() {
      guard case .list(let covered, let parameters) = inputs[label],
        parameters.contains(.init(name: "tag", value: .string(MessageSignature.tag)))
      else { continue }
      guard case .item(let item) = signatures[label], case .bytes(let raw) = item.value,
        let signature = Signature(raw)
      else { throw .malformed("no Ed25519 signature labelled \(label)") }
      return Input(covered: covered, parameters: parameters, signature: signature)
    }
    throw .malformed("no signature with the tag \(MessageSignature.tag)")
  }

  private struct Parameters {
    var key: PublicKey
    var created: Int64
    var nonce: String
  }

  private static func parameters(
    of input: Input, nowSeconds now: Int64
  ) throws(SignatureProblem) -> Parameters {
    func value(_ name: String) -> StructuredField.Bare? {
      input.parameters.first { $0.name == name }?.value
    }
    guard case .string(let keyID) = value("keyid"), let key = PublicKey(hex: keyID) else {
      throw .malformed("keyid is not a key of 64 hexadecimal digits")
    }
    if let algorithm = value("alg"), algorithm != .string("ed25519") {
      throw .malformed("alg is not ed25519")
    }
    guard case .string(let nonce) = value("nonce"), (16...128).contains(nonce.utf8.count) else {
      throw .malformed("nonce has not 16 to 128 characters")
    }
    guard case .integer(let created) = value("created") else { throw .malformed("no created") }
    let window = MessageSignature.windowSeconds
    var expires = created + window
    if let given = value("expires") {
      guard case .integer(let end) = given else { throw .malformed("expires is no number") }
      expires = min(expires, end)
    }
    guard created <= now + window, now <= expires, expires >= created else {
      throw .outsideWindow(created: created, now: now)
    }
    return Parameters(key: key, created: created, nonce: nonce)
  }

  private static func checkCoverage(
    _ covered: [StructuredField.Item], hasBody: Bool
  ) throws(SignatureProblem) {
    let required = MessageSignature.components + (hasBody ? ["content-digest"] : [])
    for component in required where !covered.contains(.init(value: .string(component))) {
      throw .uncovered(component)
    }
  }
}

/// Nonces that were seen and are still good.
struct NonceCache: Sendable {
  struct Nonce: Hashable, Sendable {
    var key: PublicKey
    var text: String
  }

  let limit: Int
  private var until: [Nonce: Int64] = [:]
  private var nextSweep: Int64 = .min

  init(limit: Int) {
    self.limit = limit
  }

  var count: Int { until.count }

  /// Times are seconds since 1970.
  mutating func admit(
    _ nonce: Nonce, until end: Int64, now: Int64
  ) throws(SignatureProblem) {
    if now >= nextSweep || until.count >= limit {
      until = until.filter { $0.value >= now }
      nextSweep = now + MessageSignature.windowSeconds
    }
    guard until[nonce] == nil else { throw .replayed }
    guard until.count < limit else { throw .tooMany }
    until[nonce] = end
  }
}

extension APITime {
  init(seconds: Int64) {
    self.init(milliseconds: min(UInt64(clamping: seconds), 1 << 40) * 1000)
  }
}
