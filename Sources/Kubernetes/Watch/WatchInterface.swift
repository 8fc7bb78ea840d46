/// What a watch follows, and within which bounds.
public struct WatchConfiguration: Hashable, Sendable {
  public var type: ResourceType
  /// Empty: all namespaces.
  public var namespace = ""
  public var labelSelector = ""
  public var fieldSelector = ""
  /// The server may not serve this type (its CRD is not installed): then there are none of it.
  public var isOptional = false
  /// The peer may not be allowed to read it (an older role): then it does without.
  public var mayBeForbidden = false
  /// Paths of members that are read here; everything else is let go of, and changes of it are no
  /// changes. Empty: objects are kept whole.
  public var keeps: [[String]] = []
  /// Objects a page.
  public var pageSize = 500
  /// How long the server is asked to keep a watch open; drawn from the range, so that the watches of
  /// many types do not end together.
  public var watchSeconds = 240...360
  /// A list's page has to be here by then.
  public var listTimeout: Duration = .seconds(60)
  /// The head of a watch's response has to be here by then.
  public var openTimeout: Duration = .seconds(30)
  /// A watch without a byte for so long is taken for dead. Servers send a bookmark a minute; where one
  /// does not, a new watch from the same version costs one request.
  public var idleTimeout: Duration = .seconds(100)
  /// When to ask again for a type that is not served.
  public var unservedRetry: Duration = .seconds(10)
  public var limits = ObjectStore.Limits.standard

  public init(_ type: ResourceType) {
    self.type = type
  }
}

/// A response that has arrived whole.
public struct APIResponse: Hashable, Sendable {
  public var status: Int
  /// The header as it came.
  public var retryAfter: String?
  public var body: [UInt8]

  public init(status: Int, retryAfter: String? = nil, body: [UInt8] = []) {
    self.status = status
    self.retryAfter = retryAfter
    self.body = body
  }

  public var isSuccess: Bool { (200...299).contains(status) }
  public var failure: APIFailure {
    APIFailure(code: status, body: body, retryAfter: retryAfter)
  }
}

/// Why there was no response, or no more of one.
public enum TransportFailure: Error, Hashable, Sendable, CustomStringConvertible {
  /// No connection, or it broke.
  case unreachable(String)
  /// The server's certificate, or ours, was not accepted. Never a reason to go on without checks.
  case untrusted(String)
  /// There are no credentials now.
  case noCredentials(String)
  case timedOut
  /// The body is larger than what is taken.
  case tooLarge

  public var description: String {
    switch self {
    case .unreachable(let why): "not reachable: \(why)"
    case .untrusted(let why): "not trusted: \(why)"
    case .noCredentials(let why): "no credentials: \(why)"
    case .timedOut: "timed out"
    case .tooLarge: "the answer is too large"
    }
  }
}

extension WatchMachine {
  /// Names one request; answers to an older one are ignored.
  public typealias Call = UInt64

  public enum Input: Sendable {
    case start
    case stop
    /// To a list, or the refusal of a watch.
    case answered(Call, APIResponse)
    /// The head of a watch's response: 200.
    case opened(Call)
    /// Bytes of a watch's response, in any pieces.
    case received(Call, [UInt8])
    /// The request failed, or (`nil`) the server closed the watch in order.
    case ended(Call, TransportFailure?)
    /// At or after `nextDeadline`.
    case tick
  }

  public enum Effect: Hashable, Sendable {
    /// `isStream`: a watch, whose body is passed on as it comes.
    case send(Call, APIRequest, isStream: Bool)
    case cancel(Call)
    /// These came, changed or went, ascending, each once: `store` has what they are now.
    case changed([ObjectKey])
    /// The store holds a full list for the first time.
    case synced
    case event(WatchEvent)
  }
}

/// For logs and counters; nothing depends on it.
public enum WatchEvent: Hashable, Sendable {
  /// A list is complete; so many objects.
  case listed(Int)
  case watching
  /// The server's memory does not reach back to the version at hand: all is listed again.
  case gone
  case refused(APIFailure)
  case failed(TransportFailure)
  /// No byte for longer than the limit.
  case silent
  /// A line that is no event; the reason.
  case malformed(String)
  /// The type is not served.
  case notServed
  /// Objects did not fit.
  case truncated
}
