internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOSSL
internal import Synchronization

/// TLS 1.3 with leaf certificates that live for a day: each connection gets the one in force, and a new
/// one is asked for when half of its time is over.
final class RenewingTLSContext: Sendable {
  private struct State: Sendable {
    var context: NIOSSLContext?
    var renewAtMilliseconds: UInt64 = 0
  }

  private let issue: @Sendable () throws -> LeafIdentity
  private let state = Mutex(State())

  init(issue: @escaping @Sendable () throws -> LeafIdentity) {
    self.issue = issue
  }

  func current(nowMilliseconds: UInt64) throws -> NIOSSLContext {
    try state.withLock { state in
      if let context = state.context, nowMilliseconds < state.renewAtMilliseconds {
        return context
      }
      do {
        let leaf = try issue()
        let context = try Self.context(for: leaf)
        let left = leaf.notAfterMilliseconds.subtractingReportingOverflow(nowMilliseconds)
        state.context = context
        state.renewAtMilliseconds = nowMilliseconds + (left.overflow ? 0 : left.partialValue / 2)
        return context
      } catch {
        // The old one serves while it lasts; clients judge its dates.
        if let context = state.context { return context }
        throw error
      }
    }
  }

  private static func context(for leaf: LeafIdentity) throws -> NIOSSLContext {
    let certificate = try NIOSSLCertificate(bytes: leaf.certificate, format: .der)
    let key = try NIOSSLPrivateKey(bytes: leaf.privateKey, format: .der)
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: [.certificate(certificate)], privateKey: .privateKey(key))
    configuration.minimumTLSVersion = .tlsv13
    configuration.applicationProtocols = ["http/1.1"]
    return try NIOSSLContext(configuration: configuration)
  }
}

/// Hummingbird's TLS channel with a context per connection instead of one for ever.
struct RenewingTLSChannel: HTTPChannelHandler {
  let base: HTTP1Channel
  let tls: RenewingTLSContext

  var responder: HTTPChannelHandler.Responder { base.responder }

  func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
    channel.eventLoop.makeCompletedFuture {
      do {
        let context = try tls.current(nowMilliseconds: APITime.now.milliseconds)
        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
      } catch {
        // Without a certificate there is nothing to say; a client left open would wait for its own
        // timeout.
        channel.close(promise: nil)
        throw error
      }
    }.flatMap {
      base.setup(channel: channel, logger: logger)
    }
  }

  func handle(value: HTTP1Channel.Value, logger: Logger) async {
    await base.handle(value: value, logger: logger)
  }
}
