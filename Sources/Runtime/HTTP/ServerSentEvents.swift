internal import FoundationEssentials
internal import Hummingbird
internal import NIOCore
internal import ServiceLifecycle

/// Server-sent events (WHATWG HTML, section 9.2): the stream of a long call.
enum ServerSentEvents {
  static let mediaType = "text/event-stream"
  /// Shows a gone client, and keeps middleboxes from taking the connection for dead.
  static let keepAlive: Duration = .seconds(15)
  /// Events that wait for a slow reader; then the oldest are dropped.
  static let bufferLimit = 256

  struct Event: Sendable {
    var name: String
    /// One line of JSON.
    var data: String

    init(_ name: String, _ value: some Encodable) throws {
      self.name = name
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
      data = String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    var text: String { "event: \(name)\ndata: \(data)\n\n" }
  }

  /// Streams until the source ends, the client goes or the daemon stops.
  static func response<Element: Sendable>(
    _ source: AsyncStream<Element>, _ event: @escaping @Sendable (Element) throws -> Event
  ) -> Response {
    Response(
      status: .ok, headers: [.contentType: mediaType, .cacheControl: "no-store"],
      body: .init { writer in
        for await text in merged(source, event).cancelOnGracefulShutdown() {
          try await writer.write(ByteBuffer(string: text))
        }
        try await writer.finish(nil)
      })
  }

  private static func merged<Element: Sendable>(
    _ source: AsyncStream<Element>, _ event: @escaping @Sendable (Element) throws -> Event
  ) -> AsyncStream<String> {
    AsyncStream(bufferingPolicy: .bufferingNewest(bufferLimit)) { continuation in
      // At once, so that the client knows that its call was taken.
      continuation.yield(": ok\n\n")
      let events = Task {
        for await element in source {
          guard let event = try? event(element) else { break }
          continuation.yield(event.text)
        }
        continuation.finish()
      }
      let ticks = Task {
        while !Task.isCancelled {
          try await Task.sleep(for: keepAlive)
          continuation.yield(": still here\n\n")
        }
      }
      continuation.onTermination = { _ in
        events.cancel()
        ticks.cancel()
      }
    }
  }
}
