public import Base
internal import Slices

/// What `starlingd` runs with: every option of `ConfigurationOption.all`, checked.
public struct DaemonConfiguration: Hashable, Sendable {
  public enum LogFormat: String, Hashable, Sendable { case text, json }
  public enum Platform: String, Hashable, Sendable { case none, standalone, kubernetes }

  public struct API: Hashable, Sendable {
    public var listen: IPEndpoint?
    public var unixSocket: String
    public var maximumConnections: Int
    public var pushesPerMinute: Int
  }

  public struct Standalone: Hashable, Sendable {
    public var services: String?
    public var dnsListen: [IPEndpoint]
    public var interfacePrefix: String
  }

  public struct Kubernetes: Hashable, Sendable {
    /// Files separated by colons; `nil`: in the cluster.
    public var kubeconfig: String?
    public var context: String?
    public var namespace: String?
    /// `nil`: who the peer is stands in its data directory alone.
    public var identitySecret: String?
    /// `labelled` or `all`.
    public var consent: String
    public var dnsListen: [IPEndpoint]
    /// `none`, `coredns` or `coredns-custom`.
    public var dnsAdapter: String
    /// At most so many gateways; 0: none.
    public var gatewayReplicas: Int
    public var gatewayImage: String
    public var gatewayNodeImage: String
  }

  public struct Gateway: Hashable, Sendable {
    public var listen: IPEndpoint?
    public var advertise: [IPEndpoint]
    /// Kilobits a second; 0: not known.
    public var linkKbps: Int
    /// Kilobits a second for each remote gateway; 0: no limit.
    public var relayKbps: Int
    /// Where gateway processes find their plans, one each; empty: a gateway runs inside.
    public var planFiles: [String]
    public var workers: Int
  }

  public struct Ranges: Hashable, Sendable {
    public var pods: [IPPrefix]
    public var services: [IPPrefix]
    public var nodes: [IPPrefix]
  }

  public struct Limits: Hashable, Sendable {
    public var gossipBytesPerSecond: Int
    public var gossipBurstBytes: Int
    public var storeBytes: Int
  }

  public var dataDir: String
  public var cluster: String?
  public var listen: IPEndpoint
  public var advertise: [String]
  public var seeds: [String]
  public var joinToken: String?
  public var joinTokenFile: String?
  public var api: API
  public var metricsListen: IPEndpoint?
  /// A level's name as swift-log spells it.
  public var logLevel: String
  public var logFormat: LogFormat
  public var platform: Platform
  public var standalone: Standalone
  public var kubernetes: Kubernetes
  public var gateway: Gateway
  public var ranges: Ranges
  public var limits: Limits
  /// Clock offset above which the daemon warns.
  public var clockWarnOffset: Duration

  /// Each option with its value in force and where that comes from, for `--check-config`.
  public private(set) var effective: [Effective]

  public struct Effective: Hashable, Sendable {
    public var option: ConfigurationOption
    public var value: Value?
    public var source: ConfigurationSource?
  }

  public init(_ loader: ConfigurationLoader) throws(ConfigurationErrors) {
    let settings = try loader.settings()
    let read = Reader(settings: settings)
    dataDir = read.text("dataDir") ?? ""
    cluster = read.text("cluster")
    listen = read.endpoint("listen") ?? IPEndpoint(IPAddress(v4: 0), port: 7946)
    advertise = read.list("advertise") { $0 }
    seeds = read.list("seeds") { $0 }
    joinToken = read.text("joinToken")
    joinTokenFile = read.text("joinTokenFile")
    api = API(
      listen: read.endpoint("api.listen"), unixSocket: read.text("api.unixSocket") ?? "",
      maximumConnections: read.integer("api.maximumConnections"),
      pushesPerMinute: read.integer("api.pushesPerMinute"))
    metricsListen = read.endpoint("metrics.listen")
    logLevel = read.text("log.level") ?? "info"
    logFormat = read.text("log.format").flatMap(LogFormat.init) ?? .text
    platform = read.text("platform").flatMap(Platform.init) ?? .none
    standalone = Standalone(
      services: read.text("standalone.services"),
      dnsListen: read.list("standalone.dns.listen") { IPEndpoint($0) },
      interfacePrefix: read.text("standalone.interfacePrefix") ?? "star")
    kubernetes = Kubernetes(
      kubeconfig: read.text("kubernetes.kubeconfig"),
      context: read.text("kubernetes.context"),
      namespace: read.text("kubernetes.namespace"),
      identitySecret: read.text("kubernetes.identitySecret"),
      consent: read.text("kubernetes.consent") ?? "labelled",
      dnsListen: read.list("kubernetes.dns.listen") { IPEndpoint($0) },
      dnsAdapter: read.text("kubernetes.dns.adapter") ?? "none",
      gatewayReplicas: read.integer("kubernetes.gateway.replicas"),
      gatewayImage: read.text("kubernetes.gateway.image") ?? "",
      gatewayNodeImage: read.text("kubernetes.gateway.nodeImage") ?? "")
    gateway = Gateway(
      listen: read.endpoint("gateway.listen"),
      advertise: read.list("gateway.advertise") { IPEndpoint($0) },
      linkKbps: read.integer("gateway.linkKbps"),
      relayKbps: read.integer("gateway.relayKbps"), planFiles: read.list("gateway.planFile") { $0 },
      workers: read.integer("gateway.workers"))
    ranges = Ranges(
      pods: read.list("ranges.pods") { IPPrefix($0) },
      services: read.list("ranges.services") { IPPrefix($0) },
      nodes: read.list("ranges.nodes") { IPPrefix($0) })
    limits = Limits(
      gossipBytesPerSecond: read.integer("limits.gossipBytesPerSecond"),
      gossipBurstBytes: read.integer("limits.gossipBurstBytes"),
      storeBytes: read.integer("limits.storeBytes"))
    clockWarnOffset = .milliseconds(
      read.text("clock.warnOffset").flatMap { TimeSpan($0)?.milliseconds } ?? 1000)
    effective = ConfigurationOption.all.map {
      Effective(
        option: $0, value: settings[$0.name]?.value, source: settings[$0.name]?.source)
    }
  }

  /// Reads settings that were checked already: what is not set, or "", is `nil`.
  private struct Reader {
    let settings: [String: ConfigurationLoader.Setting]

    func text(_ name: String) -> String? {
      guard let text = settings[name]?.value.string, !text.isEmpty else { return nil }
      return text
    }

    func endpoint(_ name: String) -> IPEndpoint? {
      text(name).flatMap { IPEndpoint($0) }
    }

    func integer(_ name: String) -> Int {
      Int(settings[name]?.value.integer ?? 0)
    }

    func list<T>(_ name: String, _ convert: (String) -> T?) -> [T] {
      (settings[name]?.value.list ?? []).compactMap { $0.string.flatMap(convert) }
    }
  }
}

extension ConfigurationOption {
  /// The default as it would be written in the file; `nil`: not set.
  public var standardText: String? { standard.map(DaemonConfiguration.inline) }
}

extension DaemonConfiguration {
  /// The effective configuration as a configuration file, each line with its source.
  public var yaml: String {
    var out = ""
    var open: [String] = []
    for entry in effective {
      let parts = entry.option.name.split(separator: ".").map(String.init)
      let parents = Array(parts.dropLast())
      var depth = zip(open, parents).prefix { $0 == $1 }.count
      while depth < parents.count {
        out += String(repeating: "  ", count: depth) + parents[depth] + ":\n"
        depth += 1
      }
      open = parents
      let indent = String(repeating: "  ", count: parents.count)
      let name = parts.last ?? ""
      if let value = entry.value {
        let shown = entry.option.kind == .secret ? "\"(set)\"" : Self.inline(value)
        out += "\(indent)\(name): \(shown)  # \(entry.source?.description ?? "")\n"
      } else {
        out += "\(indent)# \(name): not set\n"
      }
    }
    return out
  }

  fileprivate static func inline(_ value: Value) -> String {
    switch value {
    case .string(let text): quoted(text)
    case .integer(let number): String(number)
    case .bool(let truth): String(truth)
    case .list(let items): "[" + items.map(inline).joined(separator: ", ") + "]"
    case .null, .bytes, .map: "null"
    }
  }

  /// Bare where YAML reads it back as the same text.
  private static func quoted(_ text: String) -> String {
    let safe = text.utf8.allSatisfy {
      (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0)
        || [45, 46, 47, 95].contains($0)
    }
    if safe, let first = text.utf8.first, !(48...57).contains(first), first != 45,
      !["true", "false", "null"].contains(text)
    {
      return text
    }
    var out = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": out += "\\\(scalar)"
      case _ where scalar.value < 32: out += "?"
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }
}
