public import Base
internal import Slices

/// Everything that the server answers from, immutable. Making one from slices' names is cheap: the
/// names of a slice are made once and shared.
public final class NamingTable: Sendable {
  public static let slicesZone = "slice.local"
  /// The version of the DNS schema of KEP-1645.
  public static let schemaVersion = "1.0.0"

  /// How long "there is no such name" may be believed, in seconds.
  public let negativeTTL: UInt32
  /// SOA serial: any number that grows with the state.
  public let serial: UInt32
  /// The option that carries a client's address (`rewrite edns0 local` of CoreDNS) as 4 or 16 bytes.
  /// RFC 6891 sets 65001 to 65534 aside for local use.
  public let clientOption: UInt16
  /// Who may speak for other clients by that option.
  public let forwarders: [IPPrefix]

  /// Longest first, since a zone may lie within another; names are runs of `zoneBytes`.
  let zones: [Zone]
  /// In wire form with the root.
  let zoneBytes: [UInt8]
  let slices: [SliceNames]
  let clients: ClientIndex
  /// Names that every client sees.
  let common: NameTable

  struct Zone: Sendable {
    var name: NameTable.Slab
    var kind: ZoneKinds
  }

  public static let defaultClientOption: UInt16 = 65518

  /// - Parameters:
  ///   - zones: of slice names, from the genesis. Names that are none are left out.
  ///   - servers: where this server is reached, for `ns.dns.<zone>`.
  public init(
    zones: [String] = [slicesZone], slices: [SliceNames] = [],
    clients: ClientViews = ClientViews(), servers: [IPAddress] = [], serial: UInt32 = 1,
    negativeTTL: UInt32 = 1, clientOption: UInt16 = defaultClientOption,
    forwarders: [IPPrefix] = []
  ) {
    let slices = slices.sorted { $0.slice < $1.slice }
    self.slices = slices
    self.clients = ClientIndex(clients, slices: slices.map(\.slice))
    self.serial = serial
    self.negativeTTL = negativeTTL
    self.clientOption = clientOption
    self.forwarders = forwarders
    let names = zones.compactMap { DomainName($0) }.filter { $0 != .root }
    let clusterset = [DomainName(NameRules.clustersetZone)].compactMap { $0 }
    var bytes: [UInt8] = []
    let all = names.map { ($0, ZoneKinds.slice) } + clusterset.map { ($0, .clusterset) }
    self.zones = all.sorted { $0.0.wire.count > $1.0.wire.count }.map { name, kind in
      defer { bytes += name.wire }
      return Zone(
        name: NameTable.Slab(start: UInt32(bytes.count), count: UInt32(name.wire.count)),
        kind: kind)
    }
    zoneBytes = bytes
    var common = NameTableBuilder()
    common.add(["ns", "dns"], [.slice, .clusterset]) { $0.addresses = servers }
    common.add(["svc"], [.slice, .clusterset]) { _ in }
    common.add(["dns-version"], .clusterset) { $0.text = Array(Self.schemaVersion.utf8) }
    self.common = common.table()
  }
}
