public import Base
internal import Slices

/// One option of the daemon. Its three spellings follow from its name: `api.unixSocket` in the file is
/// `STARLING_API_UNIX_SOCKET` in the environment and `--api-unix-socket` on the command line.
public struct ConfigurationOption: Hashable, Sendable {
  public indirect enum Kind: Hashable, Sendable {
    /// A file or a folder; at most `limit` bytes.
    case path(limit: Int)
    /// A DNS label.
    case label
    /// Printable text, not shown by `--check-config`.
    case secret
    case choice([String])
    case integer(ClosedRange<Int64>)
    case duration(ClosedRange<Int64>)
    /// `ip:port` to bind.
    case endpoint
    /// `host:port` to reach.
    case hostPort
    case address
    case prefix
    case list(Kind)
    /// The empty text turns it off.
    case optional(Kind)
  }

  public var name: String
  public var kind: Kind
  /// As it would be written; `nil`: not set. `<dataDir>` stands for that option's value.
  public var standard: Value?
  public var summary: String

  init(_ name: String, _ kind: Kind, _ standard: Value? = nil, _ summary: String) {
    self.name = name
    self.kind = kind
    self.standard = standard
    self.summary = summary
  }

  public var environmentName: String { "STARLING_" + words.joined(separator: "_").uppercased() }
  public var flag: String { "--" + words.joined(separator: "-") }

  /// `api.unixSocket` is `api`, `unix`, `socket`.
  private var words: [String] {
    var words = [""]
    for character in name {
      if character == "." {
        words.append("")
      } else if character.isUppercase {
        words.append(character.lowercased())
      } else {
        words[words.count - 1].append(character)
      }
    }
    return words
  }

  static let pathLimit = 4096
  /// `sun_path` of unix(7), with its final zero byte.
  static let socketPathLimit = 107
  /// Entries of any list.
  static let listLimit = 256

  /// All options, in the order in which they are shown.
  public static let all: [ConfigurationOption] = [
    .init(
      "dataDir", .path(limit: pathLimit), "/var/lib/starling",
      "Folder of the store, the keys and the API's socket."),
    .init("cluster", .label, nil, "This cluster's name; checked against the join token."),
    .init("listen", .endpoint, "0.0.0.0:7946", "Gossip, UDP and TCP."),
    .init(
      "advertise", .list(.hostPort), [],
      "Addresses under which other peers reach the gossip port; else those of the interfaces."),
    .init("seeds", .list(.hostPort), [], "Peers to ask besides those of the token and the store."),
    .init("joinToken", .secret, nil, "A join token; prefer joinTokenFile."),
    .init("joinTokenFile", .path(limit: pathLimit), nil, "A file with a join token."),
    .init("api.listen", .optional(.endpoint), "0.0.0.0:7443", "HTTPS API; empty: off."),
    .init(
      "api.unixSocket", .path(limit: socketPathLimit), "<dataDir>/api.sock",
      "The API on a Unix socket, for who may open it (mode 0660)."),
    .init("api.maximumConnections", .integer(1...65_536), 256, "For each listener of the API."),
    .init(
      "api.pushesPerMinute", .integer(1...1_000_000), 600,
      "Changeset requests from one network address."),
    .init(
      "metrics.listen", .optional(.endpoint), "127.0.0.1:7480",
      "/metrics, /healthz and /readyz over plain HTTP; empty: off."),
    .init(
      "log.level", .choice(["trace", "debug", "info", "notice", "warning", "error", "critical"]),
      "info", "What is logged to standard error, and all above it."),
    .init("log.format", .choice(["text", "json"]), "text", "One line an entry, either way."),
    .init(
      "platform", .choice(["none", "standalone", "kubernetes"]), "none",
      "Where services live: nowhere (control plane only), this host's namespaces, or a cluster."),
    .init(
      "standalone.services", .optional(.path(limit: pathLimit)), "",
      "YAML file of services and workloads; watched."),
    .init(
      "standalone.dns.listen", .list(.endpoint), [], "Where slice names are answered, UDP and TCP."),
    .init(
      "standalone.interfacePrefix", .label, "star", "First letters of the names of TUN devices."),
    .init(
      "kubernetes.kubeconfig", .optional(.path(limit: pathLimit)), "",
      "Files separated by colons; empty: the pod's ServiceAccount."),
    .init("kubernetes.context", .optional(.path(limit: 253)), "", "Empty: the current one."),
    .init(
      "kubernetes.namespace", .optional(.label), "",
      "Where the peers' Lease is; empty: that of the context or of the pod."),
    .init(
      "kubernetes.identitySecret", .optional(.label), "starling-identity",
      "The Secret in that namespace that keeps who this peer is; empty: none."),
    .init(
      "kubernetes.consent", .choice(["labelled", "all"]), "labelled",
      "Namespaces that may take part: labelled starling.dev/slice, or all but kube-*."),
    .init(
      "kubernetes.dns.listen", .list(.endpoint), [], "Where slice names are answered, UDP and TCP."
    ),
    .init(
      "kubernetes.dns.adapter", .choice(["none", "coredns", "coredns-custom"]), "none",
      "The ConfigMap in kube-system that hands slice names on to the Service starling-dns."),
    .init(
      "kubernetes.gateway.replicas", .integer(0...8), 8,
      "The most gateways that are made here, whatever slices ask for; 0: none."),
    .init(
      "kubernetes.gateway.image", .path(limit: 512), "starling",
      "The image of gateways: it has starling-gateway and starling-node-feed."),
    .init(
      "kubernetes.gateway.nodeImage", .path(limit: 512), "starling-node",
      "The image of the node agent beside them: it has starling-node."),
    .init("gateway.listen", .optional(.endpoint), "0.0.0.0:7900", "Tunnels, UDP; empty: off."),
    .init(
      "gateway.advertise", .list(.endpoint), [],
      "Where other clusters reach the gateway; else the gossip addresses with its port."),
    .init(
      "gateway.linkKbps", .integer(0...400_000_000), 0,
      "What the gateway's link carries: slices get what they are guaranteed of it; 0: unknown."),
    .init(
      "gateway.planFile", .list(.path(limit: pathLimit)), [],
      "Write gateways' plans there, one each, for starling-gateway; none: one runs inside."),
    .init(
      "gateway.relayKbps", .integer(0...400_000_000), 0,
      "The most that is handed on for each remote gateway that relays through; 0: no limit."),
    .init("gateway.workers", .integer(1...64), 1, "Threads that carry packets."),
    .init("ranges.pods", .list(.prefix), [], "Pod prefixes of this cluster: no slice may overlap."),
    .init("ranges.services", .list(.prefix), [], "Service prefixes of this cluster."),
    .init("ranges.nodes", .list(.prefix), [], "Node prefixes of this cluster."),
    .init(
      "limits.gossipBytesPerSecond", .integer(1024...1_000_000_000), 65_536,
      "Sustained sending of gossip to one peer."),
    .init(
      "limits.gossipBurstBytes", .integer(65_536...1_000_000_000), 1_048_576,
      "Burst of gossip to one peer."),
    .init(
      "limits.storeBytes", .integer(16_777_216...1_099_511_627_776), 4_294_967_296,
      "Size of the store above which changes are refused."),
    .init(
      "clock.warnOffset", .duration(10...3_600_000), "1s",
      "Difference from other peers' clocks above which the daemon warns."),
  ]

  public static func named(_ name: String) -> ConfigurationOption? {
    all.first { $0.name == name }
  }
}

extension ConfigurationOption.Kind {
  /// What is allowed, for error messages and for help.
  public var allowed: String {
    switch self {
    case .path(let limit): "a path of at most \(limit) bytes"
    case .label: NameRules.labelRule
    case .secret: "one line of text"
    case .choice(let names): names.joined(separator: ", ")
    case .integer(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
    case .duration(let range):
      TimeSpan.rule + ", from \(TimeSpan(milliseconds: range.lowerBound))"
        + " to \(TimeSpan(milliseconds: range.upperBound))"
    case .endpoint: "ip:port, such as 0.0.0.0:7946 or [::]:7946"
    case .hostPort: "host:port, such as peer.example.com:7946 or [2001:db8::1]:7946"
    case .address: "an IPv4 or IPv6 address"
    case .prefix: "a prefix without host bits, such as 10.0.0.0/16"
    case .list(let kind): "a list of at most \(ConfigurationOption.listLimit) of: " + kind.allowed
    case .optional(let kind): kind.allowed + ", or \"\" for none"
    }
  }

  /// Whether a value of the file is of this kind.
  func accepts(_ value: Value) -> Bool {
    switch self {
    case .list(let kind):
      value.list.map { $0.count <= ConfigurationOption.listLimit && $0.allSatisfy(kind.accepts) }
        ?? false
    case .optional(let kind): value == "" || kind.accepts(value)
    case .integer(let range): value.integer.map(range.contains) ?? false
    default: value.string.map(acceptsText) ?? false
    }
  }

  private func acceptsText(_ text: String) -> Bool {
    switch self {
    case .path(let limit):
      !text.isEmpty && text.utf8.count <= limit && !text.utf8.contains(0)
    case .label: NameRules.isLabel(text)
    case .secret: !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
    case .choice(let names): names.contains(text)
    case .duration(let range): TimeSpan(text).map { range.contains($0.milliseconds) } ?? false
    case .endpoint: IPEndpoint(text) != nil
    case .hostPort: Self.isHostPort(text)
    case .address: IPAddress(text) != nil
    case .prefix: IPPrefix(text) != nil
    case .integer, .list, .optional: false
    }
  }

  /// An address or a DNS name with a port from 1.
  static func isHostPort(_ text: String) -> Bool {
    if let endpoint = IPEndpoint(text) { return endpoint.port > 0 }
    guard let colon = text.lastIndex(of: ":") else { return false }
    let (host, port) = (text[..<colon], text[text.index(after: colon)...])
    guard port.utf8.allSatisfy({ (48...57).contains($0) }), let number = UInt16(port) else {
      return false
    }
    let name = host.lowercased()
    // All digits and dots is a mistyped address, not a name.
    return number > 0 && NameRules.isDomain(name) && name.contains { $0.isLetter }
  }

  /// How the file writes it: where there may be several files, one may stand alone.
  func value(ofItem value: Value) -> Value {
    guard case .list(.path) = self, let text = value.string else { return value }
    return .list(text.isEmpty ? [] : [value])
  }

  /// How the environment and flags write it: lists are separated by commas.
  func value(ofText text: String) -> Value {
    switch self {
    case .list(let kind):
      .list(
        text.split(separator: ",").map { item in
          kind.value(ofText: String(item.drop { $0 == " " }))
        })
    case .integer: Int64(text).map(Value.integer) ?? .string(text)
    case .optional(let kind): text.isEmpty ? "" : kind.value(ofText: text)
    default: .string(text)
    }
  }
}
