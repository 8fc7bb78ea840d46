public import Base
public import Kubernetes

/// A Pod's place in a slice of overlay `pod`: what the agent decided, kept in a file of its own from
/// before the first change to the kernel until after the last.
public struct Attachment: Hashable, Sendable {
  public var id: AttachmentID
  /// The name of the CNI network that asked.
  public var network: String
  public var namespace: String
  public var pod: String
  public var slice: String
  public var address: IPAddress
  public var cidr: IPPrefix
  public var mtu: Int

  public init(
    id: AttachmentID, network: String, namespace: String, pod: String, slice: String,
    address: IPAddress, cidr: IPPrefix, mtu: Int
  ) {
    self.id = id
    self.network = network
    self.namespace = namespace
    self.pod = pod
    self.slice = slice
    self.address = address
    self.cidr = cidr
    self.mtu = mtu
  }

  /// What a Pod's interface is called.
  public static let interface = "slice0"
  /// The hop that every Pod's routes lead to: the node's end of its link has it.
  public static func hop(_ family: IPAddress.Family) -> IPAddress {
    family == .v4 ? IPAddress(v4: 0xa9fe_5301) : IPAddress(v6: 0xfe80 << 112 | 0x5301)
  }
  /// The hardware address of the node's end, the same for all.
  public static let hopHardwareAddress: [UInt8] = [0x02, 0x73, 0x74, 0x6c, 0x00, 0x01]

  public var json: JSON {
    .object([
      "container": .string(id.container), "interface": .string(id.interface),
      "network": .string(network), "namespace": .string(namespace), "pod": .string(pod),
      "slice": .string(slice), "address": .string("\(address)"), "cidr": .string("\(cidr)"),
      "mtu": .integer(Int64(mtu)),
    ])
  }

  /// `nil` for anything that `json` does not give.
  public init?(_ json: JSON) {
    guard let container = json["container"]?.string, let interface = json["interface"]?.string,
      let id = AttachmentID("\(container)@\(interface)"), let network = json["network"]?.string,
      let namespace = json["namespace"]?.string, let pod = json["pod"]?.string,
      let slice = json["slice"]?.string,
      let address = json["address"]?.string.flatMap({ IPAddress($0) }),
      let cidr = json["cidr"]?.string.flatMap({ IPPrefix($0) }), cidr.contains(address),
      let mtu = json["mtu"]?.integer, (1...65_535).contains(mtu)
    else { return nil }
    self.init(
      id: id, network: network, namespace: namespace, pod: pod, slice: slice, address: address,
      cidr: cidr, mtu: Int(mtu))
  }
}
