internal import Base
internal import Kubernetes
internal import NIOSSL
internal import Subprocess

/// Keeps what authenticates both sides fresh: tokens, client certificates and the CA are read again
/// before they expire, every minute where they stand in files, and after a refusal.
///
/// Nothing here falls back: without the CA that was asked for there is no connection.
actor CredentialSource {
  let access: ClusterAccess
  private var clock: CredentialClock
  private var authorityClock: CredentialClock
  private var current: Snapshot?
  private var running: Task<Snapshot, any Error>?

  /// What one request is sent with.
  struct Snapshot: Sendable {
    var authority: [UInt8]
    var token: String?
    var certificate: [UInt8]?
    var key: [UInt8]?
    /// Grows with every change of `authority`, `certificate` or `key`: then connections are made anew.
    var generation = 0
  }

  static let pluginOutputLimit = 1 << 20
  static let pluginTimeout: Duration = .seconds(60)

  init(_ access: ClusterAccess) {
    self.access = access
    clock = CredentialClock(Self.kind(access.credentials))
    switch access.certificateAuthority {
    case .bytes: authorityClock = CredentialClock(.fixed)
    case .file: authorityClock = CredentialClock(.file)
    }
  }

  private static func kind(_ credentials: ClusterAccess.Credentials) -> CredentialClock.Kind {
    switch credentials {
    case .none, .token: .fixed
    case .tokenFile: .file
    case .exec: .exec
    case .certificate(.bytes, .bytes): .fixed
    case .certificate: .file
    }
  }

  func snapshot() async throws(TransportFailure) -> Snapshot {
    let now = WallClock.now
    if let current, !clock.isDue(now), !authorityClock.isDue(now) { return current }
    let task = running ?? Task { try await self.load() }
    running = task
    do {
      return try await task.value
    } catch let failure as TransportFailure {
      // What was good stays so while its file is being replaced or its plugin cannot run.
      if let current { return current }
      throw failure
    } catch {
      throw .noCredentials("\(error)")
    }
  }

  /// The server answered 401 to what `snapshot` said.
  func refused() {
    clock.refused()
    authorityClock.refused()
  }

  func accepted() {
    clock.accepted()
  }

  private func load() async throws(TransportFailure) -> Snapshot {
    defer { running = nil }
    let now = WallClock.now
    var next = Snapshot(authority: try read(access.certificateAuthority))
    guard let parsed = try? NIOSSLCertificate.fromPEMBytes(next.authority), !parsed.isEmpty else {
      throw .untrusted("the certificate authority holds no certificate in PEM")
    }
    var expiry: UInt64?
    switch access.credentials {
    case .none: break
    case .token(let token): next.token = token
    case .tokenFile(let path): next.token = try Self.token(in: path)
    case .certificate(let certificate, let key):
      next.certificate = try read(certificate)
      next.key = try read(key)
    case .exec(let plugin):
      let answer = try await run(plugin, authority: next.authority)
      next.token = answer.token
      next.certificate = answer.certificate
      next.key = answer.key
      expiry = answer.expiresMilliseconds
    }
    clock.fetched(now, expiresMilliseconds: expiry)
    authorityClock.fetched(now)
    if let current {
      let isSame =
        current.authority == next.authority && current.certificate == next.certificate
        && current.key == next.key
      next.generation = current.generation + (isSame ? 0 : 1)
    }
    current = next
    return next
  }

  private func read(_ material: ClusterAccess.Material) throws(TransportFailure) -> [UInt8] {
    switch material {
    case .bytes(let bytes): bytes
    case .file(let path): try AccessLoader.bytes(path)
    }
  }

  private static func token(in path: String) throws(TransportFailure) -> String {
    let text = String(decoding: try AccessLoader.bytes(path), as: UTF8.self)
    let token = text.filter { !$0.isWhitespace }
    guard !token.isEmpty, token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
      throw .noCredentials("\(path) holds no token")
    }
    return token
  }

  private func run(
    _ plugin: ExecPlugin, authority: [UInt8]
  ) async throws(TransportFailure) -> ExecCredential {
    let input = plugin.input(server: access.server, certificateAuthority: authority)
    var variables: [Environment.Key: String?] = [
      "KUBERNETES_EXEC_INFO": String(decoding: input.bytes, as: UTF8.self)
    ]
    for (name, value) in plugin.environment {
      variables[Environment.Key(stringLiteral: name)] = value
    }
    do {
      let environment = Environment.inherit.updating(variables)
      let result = try await withDeadline(Self.pluginTimeout) {
        try await Subprocess.run(
          // A command may be a name to look for or a path; the shell knows both, and gives way.
          .name("sh"),
          arguments: Arguments(["-c", "exec \"$0\" \"$@\"", plugin.command] + plugin.arguments),
          environment: environment,
          output: .bytes(limit: Self.pluginOutputLimit), error: .string(limit: 4096))
      }
      guard result.terminationStatus.isSuccess else {
        throw TransportFailure.noCredentials(
          "\(plugin.command) failed: \(result.standardError.prefix(256))")
      }
      return try ExecCredential(output: result.standardOutput, of: plugin)
    } catch let failure as TransportFailure {
      throw failure
    } catch {
      throw .noCredentials("\(plugin.command): \(error)")
    }
  }
}

/// Runs `body`, and cancels it when the time is over.
func withDeadline<T: Sendable>(
  _ limit: Duration, _ body: @escaping @Sendable () async throws -> T
) async throws -> T {
  try await withThrowingTaskGroup(of: T.self) { group in
    group.addTask { try await body() }
    group.addTask {
      try await Task.sleep(for: limit)
      throw TransportFailure.timedOut
    }
    defer { group.cancelAll() }
    guard let first = try await group.next() else { throw CancellationError() }
    return first
  }
}
