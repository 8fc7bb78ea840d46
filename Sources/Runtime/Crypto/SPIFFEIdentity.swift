public import Base

/// Who a leaf certificate is for: the one URI in its subject alternative names.
public struct SPIFFEIdentity: Hashable, Sendable, CustomStringConvertible {
  public var clusterSet: Digest
  public var cluster: String
  public var role: Role

  public enum Role: Hashable, Sendable {
    /// A peer's streams and API: `.../peer/<node id, 64 hexadecimal digits>`.
    case peer(NodeID)
    /// A tunnel endpoint: `.../slice/<slice>/gateway/<replica>`.
    case gateway(slice: String, replica: String)
  }

  public init(clusterSet: Digest, cluster: String, role: Role) {
    self.clusterSet = clusterSet
    self.cluster = cluster
    self.role = role
  }

  /// `nil` unless it is exactly of one of the two forms.
  public init?(uri: String) {
    let parts = uri.split(separator: "/", omittingEmptySubsequences: false).map { String($0) }
    guard uri.utf8.count <= 512, parts.count >= 7, parts[0] == "spiffe:", parts[1].isEmpty,
      let clusterSet = Digest(hex: parts[2]), clusterSet.hex == parts[2], parts[3] == "cluster",
      Self.isName(parts[4])
    else { return nil }
    self.clusterSet = clusterSet
    cluster = parts[4]
    switch (parts[5], parts.count) {
    case ("peer", 7):
      guard let id = NodeID(hex: parts[6]), id.hex == parts[6] else { return nil }
      role = .peer(id)
    case ("slice", 9):
      guard parts[7] == "gateway", Self.isName(parts[6]), Self.isName(parts[8]) else { return nil }
      role = .gateway(slice: parts[6], replica: parts[8])
    default:
      return nil
    }
  }

  public var uri: String {
    let cluster = "spiffe://\(clusterSet.hex)/cluster/\(cluster)"
    switch role {
    case .peer(let id): return "\(cluster)/peer/\(id.hex)"
    case .gateway(let slice, let replica): return "\(cluster)/slice/\(slice)/gateway/\(replica)"
    }
  }

  public var description: String { uri }

  /// The unreserved characters of RFC 3986, so that a name has one spelling.
  private static func isName(_ text: String) -> Bool {
    (1...128).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
          UInt8(ascii: "_"), UInt8(ascii: "~"):
          true
        default: false
        }
      }
  }
}
