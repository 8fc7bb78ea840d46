internal import Base

/// The section `slice/<s>/isolation`: which traffic may enter and leave the slice's namespaces.
public struct SliceIsolation: Hashable, Sendable {
  /// Default `false`.
  public var enabled: Bool
  /// Namespaces outside the slice that may exchange traffic with it, ascending.
  public var allowedNamespaces: [String]
  /// Empty: all ports.
  public var ports: [PolicyPort]

  public init(enabled: Bool = false, allowedNamespaces: [String] = [], ports: [PolicyPort] = []) {
    self.enabled = enabled
    self.allowedNamespaces = allowedNamespaces.sorted()
    self.ports = ports
  }
}

/// A port of a policy: in manifests `{port: 8080, protocol: TCP}`, or just `8080`.
public struct PolicyPort: Hashable, Sendable {
  public var port: Int
  public var transport: TransportProtocol

  public init(port: Int, transport: TransportProtocol = .tcp) {
    self.port = port
    self.transport = transport
  }
}

public enum TransportProtocol: String, CaseIterable, Hashable, Comparable, Sendable {
  case tcp = "TCP"
  case udp = "UDP"
  case sctp = "SCTP"

  public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}

extension SliceIsolation: SliceSection {
  static let portLimit = 128

  init(reading reader: inout FieldReader) {
    enabled = reader.bool("enabled") ?? false
    allowedNamespaces = reader.texts(
      "allowedNamespaces", limit: SliceMember.namespaceLimit, allowed: NameRules.labelRule
    ) { NameRules.isLabel($0) ? $0 : nil }.sorted()
    ports = []
    for (value, path) in reader.list("ports", limit: Self.portLimit) {
      let map: Value = value.integer.map { ["port": .integer($0)] } ?? value
      var item = FieldReader(map, at: path, errors: reader.errors)
      let port = item.integer("port", in: 1...65535)
      let transport = item.choice("protocol", of: TransportProtocol.self) ?? .tcp
      item.refuseUnknownFields()
      if let port { ports.append(PolicyPort(port: port, transport: transport)) }
    }
  }

  func write(_ writer: inout FieldWriter) {
    writer.put("enabled", enabled, default: false)
    writer.put("allowedNamespaces", allowedNamespaces)
    writer.put("ports", ports, default: []) {
      .list(
        $0.map {
          ["port": .integer(Int64($0.port)), "protocol": .string($0.transport.rawValue)]
        })
    }
  }
}

/// The section `slice/<s>/rotation`: how often gateways take a new leaf certificate.
public struct SliceRotation: Hashable, Sendable {
  /// 10 min to 90 days, default 24 h.
  public var interval: TimeSpan
  /// How long old and new session stand side by side: 10 s up to half the interval, default 10 min.
  public var overlap: TimeSpan

  public static let defaultInterval = TimeSpan.seconds(24 * 3600)
  public static let defaultOverlap = TimeSpan.seconds(600)
  static let intervals = TimeSpan.seconds(600)...TimeSpan.seconds(90 * 24 * 3600)
  static let minimumOverlap = TimeSpan.seconds(10)

  public init(interval: TimeSpan = defaultInterval, overlap: TimeSpan = defaultOverlap) {
    self.interval = interval
    self.overlap = overlap
  }

  /// When the leaf that was issued then has to be replaced, milliseconds since 1970. A changed
  /// interval moves it, also for leaves that exist.
  public func due(issuedMilliseconds: UInt64) -> UInt64 {
    issuedMilliseconds &+ UInt64(clamping: interval.milliseconds)
  }
}

extension SliceRotation: SliceSection {
  init(reading reader: inout FieldReader) {
    interval =
      reader.parsed("interval", allowed: TimeSpan.rule) { TimeSpan($0) } ?? Self.defaultInterval
    if !Self.intervals.contains(interval) {
      reader.report(
        "interval", "\(interval) is out of range",
        allowed: "\(Self.intervals.lowerBound) to \(Self.intervals.upperBound) (90 days)")
      interval = Self.defaultInterval
    }
    let longest = TimeSpan(milliseconds: interval.milliseconds / 2)
    overlap =
      reader.parsed("overlap", allowed: TimeSpan.rule) { TimeSpan($0) }
      ?? min(Self.defaultOverlap, longest)
    if overlap < Self.minimumOverlap || overlap > longest {
      reader.report(
        "overlap", "\(overlap) is out of range",
        allowed: "\(Self.minimumOverlap) to half the interval, \(longest)")
      overlap = min(Self.defaultOverlap, longest)
    }
  }

  func write(_ writer: inout FieldWriter) {
    writer.put("interval", interval, default: Self.defaultInterval) { .string("\($0)") }
    let standard = min(
      Self.defaultOverlap, TimeSpan(milliseconds: interval.milliseconds / 2))
    writer.put("overlap", overlap, default: standard) { .string("\($0)") }
  }
}

/// The section `slice/<s>/qos`; a slice without it is not shaped.
public struct SliceQoS: Hashable, Sendable {
  /// The most that the slice may send through a gateway. 0, the default: no limit.
  public var ceilingKbps: Int
  /// What it gets when others want more; at most the ceiling. Default 0.
  public var guaranteedKbps: Int
  /// 0 (first) to 7 among the slices of a gateway, default 1.
  public var priority: Int
  /// The class that outer packets are marked with (RFC 2474, 2597, 3246), default CS0.
  public var dscp: DSCP

  public static let rateRange = 0...400_000_000
  public static let priorityRange = 0...7

  public init(
    ceilingKbps: Int = 0, guaranteedKbps: Int = 0, priority: Int = 1, dscp: DSCP = .best
  ) {
    self.ceilingKbps = ceilingKbps
    self.guaranteedKbps = guaranteedKbps
    self.priority = priority
    self.dscp = dscp
  }
}

/// A Differentiated Services code point by its name.
public struct DSCP: Hashable, Sendable, CustomStringConvertible {
  public let description: String
  /// 0...63.
  public let codePoint: UInt8

  public static let best = DSCP(description: "CS0", codePoint: 0)

  static let names: [(String, UInt8)] =
    (0...7).map { ("CS\($0)", UInt8($0 * 8)) }
    + (1...4).flatMap { level in
      (1...3).map { ("AF\(level)\($0)", UInt8(level * 8 + $0 * 2)) }
    } + [("EF", 46), ("VA", 44)]

  private init(description: String, codePoint: UInt8) {
    self.description = description
    self.codePoint = codePoint
  }

  public init?(_ name: String) {
    guard let match = Self.names.first(where: { $0.0 == name }) else { return nil }
    self.init(description: match.0, codePoint: match.1)
  }
}

extension SliceQoS: SliceSection {
  init(reading reader: inout FieldReader) {
    ceilingKbps = reader.integer("ceilingKbps", in: Self.rateRange) ?? 0
    guaranteedKbps = reader.integer("guaranteedKbps", in: Self.rateRange) ?? 0
    priority = reader.integer("priority", in: Self.priorityRange) ?? 1
    dscp =
      reader.parsed("dscp", allowed: DSCP.names.map(\.0).joined(separator: ", ")) { DSCP($0) }
      ?? .best
    if ceilingKbps > 0, guaranteedKbps > ceilingKbps {
      reader.report(
        "guaranteedKbps", "\(guaranteedKbps) is above the ceiling",
        allowed: "at most ceilingKbps, \(ceilingKbps)")
      guaranteedKbps = ceilingKbps
    }
  }

  func write(_ writer: inout FieldWriter) {
    writer.put("ceilingKbps", ceilingKbps, default: 0)
    writer.put("guaranteedKbps", guaranteedKbps, default: 0)
    writer.put("priority", priority, default: 1)
    writer.put("dscp", dscp, default: .best) { .string($0.description) }
  }
}

/// The section `slice/<s>/dns`: how names of the slice are answered.
public struct SliceDNS: Hashable, Sendable {
  public enum Policy: String, CaseIterable, Hashable, Sendable {
    /// The own cluster's endpoints while there are any, else all. The default.
    case local
    /// The own cluster's, else those of the cluster with the smallest tunnel RTT.
    case nearest
    /// Those of all clusters.
    case all
  }

  /// 0 to 5 s in whole seconds, default 2 s.
  public var ttl: TimeSpan
  public var policy: Policy
  /// Keep the last endpoints when no exporter can be reached. Default `false`.
  public var keepLast: Bool
  /// In Kubernetes, answer to `svc.ns.svc.cluster.local` as well where the cluster has no Service of
  /// that name. Default `false`.
  public var clusterLocal: Bool

  public static let defaultTTL = TimeSpan.seconds(2)
  static let ttls = TimeSpan.seconds(0)...TimeSpan.seconds(5)

  public init(
    ttl: TimeSpan = defaultTTL, policy: Policy = .local, keepLast: Bool = false,
    clusterLocal: Bool = false
  ) {
    self.ttl = ttl
    self.policy = policy
    self.keepLast = keepLast
    self.clusterLocal = clusterLocal
  }
}

extension SliceDNS: SliceSection {
  init(reading reader: inout FieldReader) {
    ttl = reader.parsed("ttl", allowed: TimeSpan.rule) { TimeSpan($0) } ?? Self.defaultTTL
    if !Self.ttls.contains(ttl) || ttl.milliseconds % 1000 != 0 {
      reader.report("ttl", "\(ttl) is out of range", allowed: "0s to 5s in whole seconds")
      ttl = Self.defaultTTL
    }
    policy = reader.choice("policy", of: Policy.self) ?? .local
    keepLast = reader.bool("keepLast") ?? false
    clusterLocal = reader.bool("clusterLocal") ?? false
  }

  func write(_ writer: inout FieldWriter) {
    writer.put("ttl", ttl, default: Self.defaultTTL) { .string("\($0)") }
    writer.put("policy", policy, default: .local)
    writer.put("keepLast", keepLast, default: false)
    writer.put("clusterLocal", clusterLocal, default: false)
  }
}
