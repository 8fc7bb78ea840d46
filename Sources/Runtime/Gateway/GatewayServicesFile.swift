internal import Base
internal import Foundation

/// What a gateway's own cluster exports, as one JSON file beside its plan: the traffic of these addresses
/// is counted by service. It is no part of the plan, since it changes with every endpoint, and who writes
/// it need not know the plan's keys.
public enum GatewayServicesFile {
  /// All addresses that a gateway counts fit.
  public static let limit = 32 << 20

  /// Where a gateway process with its plan at `path` looks for it.
  public static func path(forPlan path: String) -> String { path + ".services" }

  private struct Text: Decodable {
    struct Service: Decodable {
      var slice: String
      var namespace: String
      var name: String
      var addresses: [String]
    }

    var services: [Service]
  }

  /// - Parameter cluster: the gateway's own. The sentence says what is wrong.
  public static func read(
    _ json: [UInt8], cluster: String
  ) throws(GatewayError) -> [TunnelServiceConfig] {
    let text: Text
    do {
      text = try JSONDecoder().decode(Text.self, from: Data(json))
    } catch {
      throw .refused("these are no services: \(error)")
    }
    return try text.services.map { service throws(GatewayError) in
      TunnelServiceConfig(
        slice: service.slice, cluster: cluster, namespace: service.namespace, name: service.name,
        addresses: try service.addresses.map { text throws(GatewayError) in
          guard let address = IPAddress(text) else {
            throw .refused("services.addresses: \"\(text)\" is not valid")
          }
          return address
        })
    }
  }
}
