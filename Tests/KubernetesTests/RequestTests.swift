import Base
import Kubernetes
import Testing

@Suite struct RequestTests {
  private let service = ObjectID(.services, ObjectKey(namespace: "shop", name: "web"))

  @Test func pathsFollowTheGroup() {
    #expect(APIPath.object(service) == "/api/v1/namespaces/shop/services/web")
    #expect(APIPath.collection(.nodes) == "/api/v1/nodes")
    #expect(
      APIPath.object(
        ObjectID(.serviceImports, ObjectKey(namespace: "shop", name: "web")),
        subresource: "status")
        == "/apis/multicluster.x-k8s.io/v1beta1/namespaces/shop/serviceimports/web/status")
    #expect(APIPath.collection(.endpointSlices) == "/apis/discovery.k8s.io/v1/endpointslices")
  }

  @Test func namesCannotLeaveTheirCollection() {
    for name in ["../../secrets/x", "a/b", "a?watch=1", "a#b", "..", "a b", "é", "%2e"] {
      let path = APIPath.object(ObjectID(.services, ObjectKey(namespace: "n", name: name)))
      let last = path.dropFirst("/api/v1/namespaces/n/services/".count)
      #expect(path.hasPrefix("/api/v1/namespaces/n/services/"))
      #expect(!last.contains { "/?# ".contains($0) } && last != "..", "\(path)")
      #expect(path.utf8.allSatisfy { $0 < 0x7f })
    }
  }

  @Test func queriesAreEncoded() {
    let list = APIRequest.list(
      .services, labelSelector: "a=b,c in (d)", limit: 500, continuing: "ab+/=")
    #expect(
      list.target
        == "/api/v1/services?labelSelector=a%3Db%2Cc%20in%20%28d%29&limit=500&continue=ab%2B%2F%3D")
    let watch = APIRequest.watch(.services, from: "17", timeoutSeconds: 300)
    #expect(
      watch.target
        == "/api/v1/services?watch=true&allowWatchBookmarks=true&resourceVersion=17&timeoutSeconds=300"
    )
  }

  @Test func applyIsForcedUnderOurName() {
    let object = KubernetesObject(.services, service.key, ["spec": ["a": 1]])
    let request = APIRequest.apply(object, .services)
    #expect(request.method == .patch && request.contentType == "application/apply-patch+yaml")
    #expect(request.target.hasSuffix("/services/web?fieldManager=starling&force=true"))
    #expect(
      request.body.map { String(decoding: $0, as: UTF8.self) }
        == #"{"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"shop"},"spec":{"a":1}}"#
    )
  }

  @Test func deletionNamesTheObject() throws {
    let body = try #require(APIRequest.delete(service, uid: "u-1").body)
    #expect(try JSON(parsing: body).at("preconditions", "uid") == "u-1")
  }

  @Test func failuresAreReadFromAnyBody() {
    let status = #"""
      {"kind":"Status","code":409,"reason":"AlreadyExists","message":"it is there",
       "details":{"retryAfterSeconds":7}}
      """#
    let exists = APIFailure(code: 409, body: status.utf8)
    #expect(exists.alreadyExists && !exists.isConflict && exists.retryAfterSeconds == 7)
    let header = APIFailure(code: 429, body: status.utf8, retryAfter: "3")
    #expect(header.isThrottled && header.retryAfterSeconds == 3)
    let page = APIFailure(code: 502, body: "<html>bad gateway".utf8, retryAfter: "soon")
    #expect(page.reason.isEmpty && page.retryAfterSeconds == nil && page.description == "HTTP 502")
    let greedy = APIFailure(code: 503, body: [], retryAfter: "999999999")
    #expect(greedy.retryAfterSeconds == APIFailure.retryAfterLimit)
    let long = APIFailure(code: 500, message: String(repeating: "x", count: 100_000))
    #expect(long.message.count == APIFailure.messageLimit)
    let ending = #"""
      {"kind":"Status","code":403,"reason":"Forbidden",
       "details":{"causes":[{"reason":"NamespaceTerminating","field":"metadata.namespace"}]}}
      """#
    #expect(APIFailure(code: 403, body: ending.utf8).isNamespaceTerminating)
    #expect(!exists.isNamespaceTerminating)
  }

  @Test func linesAreTheSameInAnyPieces() throws {
    let text = "{\"a\":1}\n\n{\"b\":2}\r\n{\"c\":\"é\"}\n{\"cut"
    let whole = ["{\"a\":1}", "{\"b\":2}", "{\"c\":\"é\"}"]
    var rng = SeededGenerator(seed: 5)
    for _ in 0..<200 {
      var splitter = LineSplitter()
      var lines: [String] = []
      var rest = Array(text.utf8)[...]
      while !rest.isEmpty {
        let piece = rest.prefix(Int.random(in: 1...9, using: &rng))
        rest = rest.dropFirst(piece.count)
        lines += try splitter.split(piece).map { String(decoding: $0, as: UTF8.self) }
      }
      #expect(lines == whole && splitter.pending == 5)
    }
  }

  @Test func endlessLinesAreRefused() throws {
    var splitter = LineSplitter(limit: 10)
    #expect(try splitter.split("0123456789".utf8).isEmpty)
    #expect(throws: LineSplitter.Overflow.self) { try splitter.split("x".utf8) }
  }

  @Test func waitsGrowAndHaveJitter() {
    var rng = SeededGenerator(seed: 1)
    var backoff = Backoff(first: .milliseconds(200), most: .seconds(30))
    var waits: [Duration] = []
    for _ in 0..<50 { waits.append(backoff.fail(using: &rng)) }
    #expect(waits[0] >= .milliseconds(100) && waits[0] <= .milliseconds(200))
    #expect(waits.allSatisfy { $0 <= .seconds(30) })
    #expect(waits[20...].allSatisfy { $0 >= .seconds(15) })
    #expect(Set(waits[20...]).count > 20)
    #expect(backoff.fail(retryAfterSeconds: 120, using: &rng) >= .seconds(120))
    backoff.succeed()
    #expect(backoff.fail(using: &rng) <= .milliseconds(200))
  }
}
