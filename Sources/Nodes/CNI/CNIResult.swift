internal import Base
public import Kubernetes

/// Results in the form that each version of the specification has.
public enum CNIResult {
  /// The result of the plugins before, in the configuration's version.
  public static func passed(_ configuration: CNIConfiguration) -> JSON {
    var out = configuration.previous ?? .empty
    out["cniVersion"] = .string(configuration.version.rawValue)
    return out
  }

  /// With the slice's interface, address and route behind those that are there.
  public static func attached(
    _ attachment: Attachment, namespace: String, _ configuration: CNIConfiguration
  ) -> JSON {
    let version = configuration.version
    var out = passed(configuration)
    var interfaces = out["interfaces"]?.array ?? []
    // A repeated ADD may be given what an earlier one added.
    let known = interfaces.firstIndex {
      $0["name"]?.string == Attachment.interface && $0["sandbox"]?.string == namespace
    }
    let interface = JSON.object([
      "name": .string(Attachment.interface), "sandbox": .string(namespace),
      "mac": .string(hardware(attachment.id.hardwareAddress)),
      "mtu": version >= .v110 ? .integer(Int64(attachment.mtu)) : nil,
    ])
    let index = known ?? interfaces.count
    if known == nil { interfaces.append(interface) } else { interfaces[index] = interface }
    out["interfaces"] = .array(interfaces)
    let family = attachment.address.family
    let address = JSON.object([
      "address": .string("\(attachment.address)/\(family.bits)"),
      "interface": .integer(Int64(index)),
      "version": version.addressesSayFamily ? .string(family == .v4 ? "4" : "6") : nil,
    ])
    out["ips"] = .array(replacing(address, "address", in: out["ips"]?.array ?? []))
    let route = JSON.object([
      "dst": .string("\(attachment.cidr)"), "gw": .string("\(Attachment.hop(family))"),
    ])
    out["routes"] = .array(replacing(route, "dst", in: out["routes"]?.array ?? []))
    return out
  }

  /// The answer to VERSION.
  ///
  /// - Parameter asked: what the runtime speaks, which need be none of ours.
  public static func versions(asked: String?) -> JSON {
    .object([
      "cniVersion": .string(asked ?? CNIVersion.newest.rawValue),
      "supportedVersions": .array(CNIVersion.allCases.map { .string($0.rawValue) }),
    ])
  }

  /// The index of the slice's interface in what ADD gave; `nil`: it gave none.
  static func sliceAddress(_ previous: JSON?) -> String? {
    guard let interfaces = previous?["interfaces"]?.array,
      let index = interfaces.firstIndex(where: { $0["name"]?.string == Attachment.interface })
    else { return nil }
    let ips = previous?["ips"]?.array ?? []
    return ips.first { $0["interface"]?.integer == Int64(index) }?["address"]?.string
  }

  private static func replacing(_ item: JSON, _ key: String, in list: [JSON]) -> [JSON] {
    list.filter { $0[key] != item[key] } + [item]
  }

  static func hardware(_ bytes: [UInt8]) -> String {
    bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined(separator: ":")
  }
}
