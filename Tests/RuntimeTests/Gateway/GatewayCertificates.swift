import Base
import Foundation
import Runtime

/// Two clusters' CAs and the leaves of their gateways, issued as the daemon issues them.
final class GatewayCertificates: Sendable {
  private let authorities: [ClusterCA]
  private let clusterSet = Base.Digest(words: (1, 2, 3, 4))

  private static var now: Now {
    Now(
      instant: .zero, wallMilliseconds: UInt64(Date().timeIntervalSince1970 * 1_000))
  }

  init() {
    let clusterSet = Base.Digest(words: (1, 2, 3, 4))
    authorities = (0..<2).compactMap {
      try? ClusterCA(cluster: "c\($0)", clusterSet: clusterSet, now: Self.now)
    }
  }

  private func identity(_ index: Int, slice: String) -> SPIFFEIdentity {
    SPIFFEIdentity(
      clusterSet: clusterSet, cluster: "c\(index)", role: .gateway(slice: slice, replica: "0"))
  }

  func authority(_ index: Int) -> [UInt8] { authorities[index].certificate }

  func uri(_ index: Int) -> String { identity(index, slice: "blue").uri }

  /// A fresh leaf; `signedBy` another cluster's CA, or valid in another year, where a test asks.
  func leaf(
    _ index: Int, slice: String = "blue", signedBy: Int? = nil, yearsAgo: Double = 0
  ) throws -> TunnelIdentity {
    var now = Self.now
    now.wallMilliseconds = UInt64(Double(now.wallMilliseconds) - yearsAgo * 365 * 86_400_000)
    let leaf = try authorities[signedBy ?? index].issue(identity(index, slice: slice), now: now)
    return TunnelIdentity(certificate: leaf.certificate, privateKey: leaf.privateKey)
  }
}
