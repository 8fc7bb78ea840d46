public import Base
internal import CLinux
internal import Dispatch
internal import Synchronization

/// `host:port` to addresses. Literal addresses cost a parse; names are resolved on another thread and
/// remembered for a while, so that nothing on an event loop waits for a name server.
public final class AddressResolver: Sendable {
  public static let maximumEntries = 1_024
  static let maximumAddresses = 8
  static let freshFor: Duration = .seconds(30)
  static let failedFor: Duration = .seconds(5)

  private struct Entry {
    var endpoints: [IPEndpoint]
    var until: ContinuousClock.Instant
    var isResolving = false
  }

  private let entries = Mutex<[String: Entry]>([:])
  private let queue = DispatchQueue(label: "starling.resolver")

  public init() {}

  /// The address as it is known now: a literal, or what a name came to lately. Starts resolving a name
  /// that is unknown or stale, so that a later call has it.
  public func lookup(_ text: String) -> IPEndpoint? {
    if let literal = IPEndpoint(text) { return literal }
    let now = ContinuousClock.now
    let (known, isDue) = entries.withLock { entries -> (IPEndpoint?, Bool) in
      guard let entry = entries[text] else {
        guard Self.makeRoom(in: &entries, now: now) else { return (nil, false) }
        entries[text] = Entry(endpoints: [], until: now, isResolving: true)
        return (nil, true)
      }
      guard entry.until <= now, !entry.isResolving else { return (entry.endpoints.first, false) }
      entries[text]?.isResolving = true
      return (entry.endpoints.first, true)
    }
    if isDue { queue.async { self.refresh(text) } }
    return known
  }

  /// All addresses, waiting for a name server where it has to.
  public func resolve(_ text: String) async throws(NetworkError) -> [IPEndpoint] {
    if let literal = IPEndpoint(text) { return [literal] }
    let result = await withCheckedContinuation { continuation in
      queue.async { continuation.resume(returning: Self.ask(text)) }
    }
    return try result.get()
  }

  private func refresh(_ text: String) {
    let result = Self.ask(text)
    let now = ContinuousClock.now
    entries.withLock { entries in
      switch result {
      case .success(let endpoints):
        entries[text] = Entry(endpoints: endpoints, until: now + Self.freshFor)
      case .failure:
        // What it was is better than nothing.
        let old = entries[text]?.endpoints ?? []
        entries[text] = Entry(endpoints: old, until: now + Self.failedFor)
      }
    }
  }

  private static func makeRoom(
    in entries: inout [String: Entry], now: ContinuousClock.Instant
  ) -> Bool {
    guard entries.count >= maximumEntries else { return true }
    for (key, entry) in entries where entry.until <= now && !entry.isResolving {
      entries[key] = nil
    }
    return entries.count < maximumEntries
  }

  /// Blocks.
  private static func ask(_ text: String) -> Result<[IPEndpoint], NetworkError> {
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...])
    else { return .failure(.badAddress(text)) }
    let host = String(text[..<colon])
    guard !host.isEmpty, !host.contains(":"), host.utf8.count <= 253 else {
      return .failure(.badAddress(text))
    }
    var found = [starling_address](repeating: starling_address(), count: maximumAddresses)
    let count = starling_resolve(host, &found, Int32(maximumAddresses))
    guard count >= 0 else {
      return .failure(.unresolvable(host, String(cString: starling_resolve_error(count))))
    }
    let endpoints = found.prefix(Int(count)).compactMap { address in
      withUnsafeBytes(of: address.bytes) { bytes in
        IPAddress(bytes: bytes.prefix(address.family == 4 ? 4 : 16))
          .map { IPEndpoint($0, port: port) }
      }
    }
    return endpoints.isEmpty
      ? .failure(.unresolvable(host, "it has no address")) : .success(endpoints)
  }
}
