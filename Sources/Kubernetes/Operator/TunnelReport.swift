internal import Base

/// One tunnel in a SliceGateway's status.
public struct TunnelReport: Hashable, Sendable {
  public enum State: String, CaseIterable, Hashable, Sendable {
    case waiting = "Waiting"
    case connecting = "Connecting"
    case established = "Established"
    case unreachable = "Unreachable"
  }

  public var remote: String
  public var replica: String
  public var state: State
  public var texts: [Text: String] = [:]
  public var figures: [Figure: Int64] = [:]
  /// The far side sees this gateway at another address.
  public var isTranslated: Bool?

  public enum Text: String, CaseIterable, Hashable, Sendable {
    case endpoint, relay, observed, cipher, lastError

    var limit: Int { self == .lastError ? 1024 : 64 }
  }

  public enum Figure: String, CaseIterable, Hashable, Sendable {
    case epoch, keyAgeSeconds, roundTripMicroseconds, jitterMicroseconds, lossPermille, pathSize
    case sentPackets, sentBytes, receivedPackets, receivedBytes
    case transmitBitsPerSecond, receiveBitsPerSecond
    case handshakes, failedHandshakes, rekeys
    /// Seconds since 1970.
    case localCertificateExpiry, remoteCertificateExpiry
  }

  public init(remote: String, replica: String, state: State) {
    self.remote = remote
    self.replica = replica
    self.state = state
  }

  public init?(_ json: JSON) {
    guard let remote = json["remote"]?.string, let replica = json["replica"]?.string,
      let state = json["state"]?.string.flatMap(State.init)
    else { return nil }
    self.init(remote: remote, replica: replica, state: state)
    for text in Text.allCases { texts[text] = json[text.rawValue]?.string }
    for figure in Figure.allCases {
      figures[figure] = json[figure.rawValue]?.integer.map { max(0, $0) }
    }
    isTranslated = json["translated"]?.bool
  }

  public var json: JSON {
    var out: [String: JSON?] = [
      "remote": .string(remote), "replica": .string(replica), "state": .string(state.rawValue),
      "translated": isTranslated.map { .bool($0) },
    ]
    for (text, value) in texts { out[text.rawValue] = .string(String(value.prefix(text.limit))) }
    for (figure, value) in figures { out[figure.rawValue] = .integer(max(0, value)) }
    return .object(out)
  }
}

/// What the feed of one gateway says of one slice: the status of a SliceGateway.
public struct SliceGatewayReport: Hashable, Sendable {
  public var slice: String
  /// Which of the cluster's gateways.
  public var gateway: String
  /// Of the Pod that says it.
  public var pod: String
  public var listen: String
  /// Ascending by remote cluster and replica.
  public var tunnels: [TunnelReport]
  /// Why the slice is not served; empty: it is.
  public var failure: String
  /// The process itself says nothing.
  public var isSilent: Bool
  /// When it was written, RFC 3339.
  public var reported: String

  /// Manager of the fields.
  public static let manager = "starling-gateway"
  public static let tunnelLimit = 1024

  public init(
    slice: String, gateway: String, pod: String, listen: String = "",
    tunnels: [TunnelReport] = [], failure: String = "", isSilent: Bool = false,
    reported: String = ""
  ) {
    self.slice = slice
    self.gateway = gateway
    self.pod = pod
    self.listen = listen
    self.tunnels = tunnels
    self.failure = failure
    self.isSilent = isSilent
    self.reported = reported
  }

  /// `nil` where no feed has said anything yet.
  public init?(_ object: KubernetesObject) {
    guard let slice = object.spec["slice"]?.string, let gateway = object.spec["gateway"]?.string,
      let reported = object.status["reported"]?.string
    else { return nil }
    self.init(
      slice: slice, gateway: gateway, pod: object.status["pod"]?.string ?? "",
      listen: object.status["listen"]?.string ?? "",
      tunnels: (object.status["tunnels"]?.array ?? []).prefix(Self.tunnelLimit)
        .compactMap { TunnelReport($0) },
      failure: object.status["failure"]?.string ?? "",
      isSilent: object.status["silent"]?.bool ?? false, reported: reported)
  }

  /// Clusters that a tunnel leads to.
  public var reachable: Set<String> {
    Set(tunnels.filter { $0.state == .established }.map(\.remote))
  }

  /// What has to be told at once when it changes.
  public var urgent: [String] {
    [pod, failure, "\(isSilent)"] + tunnels.map { "\($0.remote)/\($0.replica)=\($0.state)" }
  }

  /// - Parameter observed: conditions as they were told last.
  public func status(over observed: JSON?, now milliseconds: UInt64) -> JSON {
    let shown = tunnels.prefix(Self.tunnelLimit)
    let up = shown.count { $0.state == .established }
    let trips = shown.compactMap { $0.figures[.roundTripMicroseconds] }
    let losses = shown.compactMap { $0.figures[.lossPermille] }
    let expiries = shown.compactMap { $0.figures[.localCertificateExpiry] }
    func rate(_ figure: TunnelReport.Figure) -> String {
      Self.rate(shown.reduce(0) { $0 &+ ($1.figures[figure] ?? 0) })
    }
    let conditions = [condition(up, shown.count)].json(
      over: observed, generation: 1, now: milliseconds)
    let expires = expiries.min().map { CivilDate.rfc3339(UInt64(max(0, $0)) &* 1000) }
    let loss = losses.max().map { "\($0 / 10).\($0 % 10)%" }
    let out: [String: JSON?] = [
      "pod": .string(pod), "listen": .string(listen), "reported": .string(reported),
      "up": .string("\(up)/\(shown.count)"), "silent": .bool(isSilent),
      "failure": failure.isEmpty ? nil : .string(String(failure.prefix(1024))),
      "roundTrip": trips.max().map { .string(Self.time($0)) },
      "loss": loss.map { .string($0) },
      "transmitRate": .string(rate(.transmitBitsPerSecond)),
      "receiveRate": .string(rate(.receiveBitsPerSecond)),
      "certificateExpires": expires.map { .string($0) },
      "tunnels": .array(shown.map(\.json)), "conditions": conditions,
    ]
    return .object(out)
  }

  private func condition(_ up: Int, _ count: Int) -> Condition {
    if isSilent {
      return Condition("Ready", false, reason: "Silent", message: "the gateway says nothing")
    }
    if !failure.isEmpty {
      return Condition("Ready", false, reason: "NotServed", message: failure)
    }
    if up == count {
      return Condition(
        "Ready", true, reason: count == 0 ? "NoTunnels" : "Established",
        message: count == 0 ? "there is no tunnel to make" : "all tunnels answer")
    }
    return Condition(
      "Ready", false, reason: up == 0 ? "NotEstablished" : "PartlyEstablished",
      message: "\(up) of \(count) tunnels answer")
  }

  static func time(_ microseconds: Int64) -> String {
    microseconds < 1000
      ? "\(microseconds)us" : "\(microseconds / 1000).\(microseconds % 1000 / 100)ms"
  }

  static func rate(_ bits: Int64) -> String {
    let units: [(name: String, size: Int64)] = [
      ("Gbit/s", 1_000_000_000), ("Mbit/s", 1_000_000), ("kbit/s", 1000),
    ]
    for (name, size) in units where bits >= size {
      return "\(bits / size).\(bits % size * 10 / size) \(name)"
    }
    return "\(bits) bit/s"
  }
}
