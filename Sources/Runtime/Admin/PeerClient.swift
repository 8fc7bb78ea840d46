internal import AsyncHTTPClient
public import Base
internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL
public import Replication

/// Talks to one peer's API, over its Unix socket or TLS.
public struct PeerClient: Sendable {
  public let peer: String
  private let base: String
  private let client: HTTPClient
  private let signer: Signer?
  /// The largest answer taken: registers of a large ClusterSet.
  static let maximumAnswer = 64 << 20

  /// - Parameters:
  ///   - signer: signs requests over TLS (RFC 9421); the Unix socket needs none.
  ///   - authorityFile: PEM that a TLS peer has to chain to.
  public init(
    peer: String, signer: Signer? = nil, authorityFile: String? = nil
  ) throws(AdminError) {
    self.peer = peer
    self.signer = signer
    var configuration = HTTPClient.Configuration()
    configuration.timeout = .init(connect: .seconds(5), read: .seconds(60))
    if let path = peer.removingPrefix("unix://") {
      let encoded = path.utf8.map { byte in
        Self.plain.contains(byte)
          ? String(UnicodeScalar(byte)) : "%" + [byte].hex.uppercased()
      }.joined()
      base = "http+unix://\(encoded)"
    } else if peer.hasPrefix("https://") {
      base = peer.hasSuffix("/") ? String(peer.dropLast()) : peer
      var tls = TLSConfiguration.makeClientConfiguration()
      tls.minimumTLSVersion = .tlsv13
      if let authorityFile {
        tls.trustRoots = .file(authorityFile)
        // The CA is the cluster's own and names no hosts: its key is what is trusted.
        tls.certificateVerification = .noHostnameVerification
      }
      configuration.tlsConfiguration = tls
    } else {
      throw AdminError(
        .invalid, "\(peer) is no peer address",
        fix: "Write unix:///path/to/api.sock or https://host:port.")
    }
    client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }

  private static let plain = Set(
    Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~".utf8))

  public func close() async {
    try? await client.shutdown()
  }

  public func get<T: Decodable>(
    _ path: String, _ query: [(String, String)] = [], as type: T.Type = T.self
  ) async throws -> T {
    let body = try await send(.get, path, query)
    return try decode(body)
  }

  public func post<T: Decodable>(
    _ path: String, _ body: [UInt8], contentType: String, as type: T.Type = T.self
  ) async throws -> T {
    let answer = try await send(.post, path, [], body: body, contentType: contentType)
    return try decode(answer)
  }

  public func push(_ changesets: [UInt8]) async throws -> APIPushAnswer {
    try await post("/v1/changesets", changesets, contentType: "application/x-protobuf")
  }

  /// The body of a long answer, piece by piece.
  public func download(_ path: String, to consume: (ArraySlice<UInt8>) throws -> Void) async throws
  {
    let response = try await execute(request(.post, path, [], body: []))
    guard response.status.code < 300 else { throw try await problem(response) }
    for try await chunk in response.body {
      try consume(ArraySlice(chunk.readableBytesView))
    }
  }

  /// Server-sent events until the stream ends: (event name, data).
  public func events(
    _ path: String, _ query: [(String, String)] = [],
    _ consume: (_ event: String, _ data: [UInt8]) throws -> Bool
  ) async throws {
    let response = try await execute(request(.get, path, query))
    guard response.status.code < 300 else { throw try await problem(response) }
    var pending: [UInt8] = []
    var event = ""
    for try await chunk in response.body {
      pending += chunk.readableBytesView
      while let end = pending.firstIndex(of: 0x0a) {
        let line = String(decoding: pending[..<end], as: UTF8.self)
        pending.removeSubrange(...end)
        if let name = line.removingPrefix("event:") {
          event = name.trimmed
        } else if let data = line.removingPrefix("data:") {
          if try !consume(event, Array(data.trimmed.utf8)) { return }
        }
      }
    }
  }

  // MARK: Requests

  private func request(
    _ method: Method, _ path: String, _ query: [(String, String)], body: [UInt8]? = nil,
    contentType: String = "application/json"
  ) -> HTTPClientRequest {
    var target = path
    if !query.isEmpty {
      target +=
        "?"
        + query.map { name, value in
          let encoded = value.utf8.map { byte in
            Self.plain.contains(byte)
              ? String(UnicodeScalar(byte)) : "%" + [byte].hex.uppercased()
          }.joined()
          return "\(name)=\(encoded)"
        }.joined(separator: "&")
    }
    var request = HTTPClientRequest(url: base + target)
    request.method = method == .get ? .GET : .POST
    request.headers.add(name: "accept", value: "application/json")
    if let body {
      request.headers.add(name: "content-type", value: contentType)
      request.body = .bytes(ByteBuffer(bytes: body))
    }
    return request
  }

  private enum Method { case get, post }

  private func send(
    _ method: Method, _ path: String, _ query: [(String, String)], body: [UInt8]? = nil,
    contentType: String = "application/json"
  ) async throws -> [UInt8] {
    let response = try await execute(
      request(method, path, query, body: body, contentType: contentType))
    guard response.status.code < 300 else { throw try await problem(response) }
    return Array(try await response.body.collect(upTo: Self.maximumAnswer).readableBytesView)
  }

  private func execute(_ request: HTTPClientRequest) async throws -> HTTPClientResponse {
    do {
      return try await client.execute(request, timeout: .seconds(120))
    } catch {
      throw AdminError(
        .unreachable, "no peer answers at \(peer): \(error)",
        fix: "Is starlingd running there? Name another peer with --peer.")
    }
  }

  private func problem(_ response: HTTPClientResponse) async throws -> AdminError {
    let body = Array(try await response.body.collect(upTo: 1 << 20).readableBytesView)
    guard let problem: APIProblem = try? decode(body) else {
      return AdminError(.failed, "the peer answered \(response.status.code)")
    }
    let detail = problem.detail.isEmpty ? "" : ": \(problem.detail)"
    return AdminError(.failed, problem.title + detail, fix: problem.fix)
  }

  private func decode<T: Decodable>(_ body: [UInt8]) throws -> T {
    do {
      return try JSONDecoder().decode(T.self, from: Data(body))
    } catch {
      throw AdminError(
        .failed, "the peer's answer cannot be read: \(error)",
        fix: "Are starling and starlingd of the same release?")
    }
  }
}

extension String {
  func removingPrefix(_ prefix: String) -> String? {
    hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil
  }

  var trimmed: String {
    let bytes = utf8.drop { $0 == 0x20 || $0 == 0x0d }
    return String(bytes) ?? self
  }
}
