import Base
import Foundation
import Testing

@testable import Runtime

@Suite struct MessageSignatureTests {
  let now: Int64 = 1_790_000_000
  let key = SigningKey()

  func request(_ target: String = "/v1/log?limit=5", method: String = "GET") -> SignableRequest {
    SignableRequest(method: method, authority: "eu-1.example:7443", target: target)
  }

  func signed(
    _ request: SignableRequest, body: [UInt8] = [], at time: Int64? = nil
  ) -> SignableRequest {
    var request = request
    request.fields += MessageSignature.fields(
      signing: request, body: body, by: key.signer, nowSeconds: time ?? now)
    return request
  }

  func problem(
    _ request: SignableRequest, body: [UInt8] = [], _ verifier: SignatureVerifier = .init()
  ) -> SignatureProblem? {
    do {
      _ = try verifier.verify(request, body: body, nowSeconds: now)
      return nil
    } catch {
      return error
    }
  }

  /// RFC 9421, B.2.6, with the key of B.1.4: Ed25519 is deterministic, so signing gives the same.
  @Test func signatureOfTheRFC() throws {
    // PKCS #8 ends in the 32 bytes of the seed.
    let pkcs8 = try #require(
      Data(base64Encoded: "MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF"))
    let key = try #require(SigningKey(seed: Array(pkcs8.suffix(32))))
    let spki = try #require(
      Data(base64Encoded: "MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs="))
    #expect(key.publicKey.bytes == Array(spki.suffix(32)))
    let request = SignableRequest(
      method: "POST", authority: "example.com", target: "/foo?param=Value&Pet=dog",
      fields: [
        ("Host", "example.com"), ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("Content-Type", "application/json"), ("Content-Length", "18"),
      ])
    let input =
      #"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")"#
      + #";created=1618884473;keyid="test-key-ed25519""#
    let members = try #require(StructuredField.dictionary(input))
    guard case .list(let covered, let parameters) = members["sig-b26"] else {
      Issue.record("no inner list")
      return
    }
    let base = try #require(MessageSignature.base(of: request, covered, parameters))
    #expect(
      String(decoding: base, as: UTF8.self) == """
        "date": Tue, 20 Apr 2021 02:07:55 GMT
        "@method": POST
        "@path": /foo
        "@authority": example.com
        "content-type": application/json
        "content-length": 18
        "@signature-params": ("date" "@method" "@path" "@authority" "content-type" \
        "content-length");created=1618884473;keyid="test-key-ed25519"
        """)
    let expected =
      "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
    #expect(Data(key.sign(base).bytes).base64EncodedString() == expected)
  }

  /// RFC 9530, B.1 (the digest of `{"hello": "world"}` and a line feed).
  @Test func contentDigestOfTheRFC() {
    let body = Array("{\"hello\": \"world\"}\n".utf8)
    let field = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
    #expect(MessageSignature.contentDigest(of: body) == field)
    #expect(MessageSignature.isDigest("sha-512=:AAAA:, \(field)", of: body))
    #expect(!MessageSignature.isDigest("sha-512=:AAAA:", of: body))
    #expect(!MessageSignature.isDigest(field, of: body + [0]))
  }

  @Test func componentsFollowTheRFC() {
    var request = SignableRequest(
      method: "GET", authority: "WWW.Example.com:443", target: "/p%20a?x=1&y=?",
      fields: [("X-A", " one "), ("x-b", "b"), ("x-a", "two\t")])
    #expect(request.value(of: "@authority") == "www.example.com")
    #expect(request.value(of: "@path") == "/p%20a")
    #expect(request.value(of: "@query") == "?x=1&y=?")
    #expect(request.value(of: "@target-uri") == "https://www.example.com/p%20a?x=1&y=?")
    #expect(request.value(of: "x-a") == "one, two")
    #expect(request.value(of: "x-c") == nil)
    #expect(request.value(of: "@status") == nil)
    request.target = "/"
    #expect(request.value(of: "@query") == "?")
  }

  @Test func aSignedRequestSaysWhoseItIs() throws {
    let verifier = SignatureVerifier()
    #expect(
      try verifier.verify(signed(request()), body: [], nowSeconds: now) == key.publicKey)
    let body: [UInt8] = [1, 2, 3]
    let post = signed(request("/v1/changesets", method: "POST"), body: body)
    #expect(try verifier.verify(post, body: body, nowSeconds: now) == key.publicKey)
  }

  @Test func whatIsAlteredDoesNotVerify() {
    let body: [UInt8] = [1, 2, 3]
    let good = signed(request("/v1/changesets?a=1", method: "POST"), body: body)
    var other = good
    other.method = "GET"
    #expect(problem(other, body: body) == .badSignature)
    other = good
    other.target = "/v1/changesets?a=2"
    #expect(problem(other, body: body) == .badSignature)
    other = good
    other.target = "/v1/changeset?a=1"
    #expect(problem(other, body: body) == .badSignature)
    other = good
    other.authority = "us-1.example:7443"
    #expect(problem(other, body: body) == .badSignature)
    #expect(problem(good, body: [1, 2, 4]) == .digestMismatch)
    #expect(problem(good, body: []) == nil, "a digest may be covered without a body")
    #expect(problem(signed(request()), body: body) == .uncovered("content-digest"))
  }

  @Test func onlyFreshRequestsPassAndOnlyOnce() {
    let verifier = SignatureVerifier()
    let good = signed(request())
    #expect(problem(good, verifier) == nil)
    #expect(problem(good, verifier) == .replayed)
    #expect(problem(signed(request(), at: now - 60), verifier) == nil)
    #expect(problem(signed(request(), at: now + 60), verifier) == nil)
    for time in [now - 61, now + 61, 0, -5] {
      #expect(
        problem(signed(request(), at: time), verifier) == .outsideWindow(created: time, now: now))
    }
  }

  @Test func theNonceCacheIsBounded() throws {
    var cache = NonceCache(limit: 3)
    func nonce(_ i: Int) -> NonceCache.Nonce { .init(key: key.publicKey, text: "\(i)") }
    for i in 0..<3 { try cache.admit(nonce(i), until: now + 120, now: now) }
    #expect(throws: SignatureProblem.tooMany) {
      try cache.admit(nonce(3), until: now + 120, now: now)
    }
    #expect(throws: SignatureProblem.replayed) {
      try cache.admit(nonce(2), until: now + 120, now: now + 120)
    }
    try cache.admit(nonce(2), until: now + 300, now: now + 121)
    #expect(cache.count == 1)
  }

  @Test(arguments: [
    ("Signature-Input", ""), ("Signature-Input", "sig1"), ("Signature-Input", "sig1=("),
    ("Signature-Input", "sig1=(\"@method\";req);tag=\"starling-api-v1\""),
    ("Signature", "sig1=:AAAA:"), ("Signature", "sig1=?1"), ("Signature", "é"),
    ("Signature", "sig2=:AAAA:"),
  ])
  func malformedFieldsAreRefused(_ name: String, _ value: String) {
    var request = signed(request())
    request.fields.removeAll { $0.name == name }
    #expect(problem(request) == .missing)
    request.fields.append((name, value))
    let problem = problem(request)
    guard case .malformed = problem else {
      Issue.record("\(String(describing: problem))")
      return
    }
  }

  @Test func parametersAreRequired() {
    let good = signed(request())
    let input = good.field("signature-input") ?? ""
    func altered(_ old: String, _ new: String) -> SignatureProblem? {
      var request = good
      request.fields.removeAll { $0.name == "Signature-Input" }
      request.fields.append(("Signature-Input", input.replacing(old, with: new)))
      return problem(request)
    }
    #expect(
      altered("alg=\"ed25519\"", "alg=\"rsa-v1_5-sha256\"") == .malformed("alg is not ed25519"))
    #expect(
      altered(key.publicKey.hex, "me")
        == .malformed("keyid is not a key of 64 hexadecimal digits"))
    #expect(altered("\"@path\" ", "") == .uncovered("@path"))
    #expect(altered("\"@path\"", "\"@path\" \"@path\"") != nil)
    #expect(altered("created=\(now)", "created=\(now - 1)") == .badSignature)
    #expect(altered(";created=\(now)", "") == .malformed("no created"))
    #expect(altered(MessageSignature.tag, "x") != nil)
    #expect(altered("nonce=", "nonsense=") != nil)
  }

  @Test func structuredFieldsSurviveGarbage() {
    var rng = SeededGenerator(seed: 7)
    let alphabet = Array("sig1=(\"@m\";a=1 :AA==:?01,) \t*-\\é\u{0}".utf8)
    for _ in 0..<20_000 {
      let count = Int.random(in: 0..<40, using: &rng)
      let bytes = (0..<count).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &rng)] }
      _ = StructuredField.dictionary(String(decoding: bytes, as: UTF8.self))
    }
    #expect(StructuredField.dictionary("a=1,") == nil)
    #expect(StructuredField.dictionary("a=1.5") == nil)
    #expect(StructuredField.dictionary("a=1234567890123456") == nil)
    #expect(StructuredField.dictionary("a=\"\\x\"") == nil)
    #expect(StructuredField.dictionary("A=1") == nil)
    #expect(StructuredField.dictionary("") == [:])
  }
}
