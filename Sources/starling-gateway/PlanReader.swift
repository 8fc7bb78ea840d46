import Foundation
import Runtime

/// Reads the plan, and refuses one that others can read.
enum PlanReader {
  static func read(_ path: String) throws -> GatewayPlanFile {
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    let mode = (attributes[.posixPermissions] as? NSNumber)?.intValue ?? 0
    guard mode & 0o077 == 0 else {
      throw GatewayError.refused(
        "\(path): others may read or write it, and it holds private keys: chmod 600 \(path)")
    }
    guard (attributes[.size] as? NSNumber)?.intValue ?? 0 <= GatewayPlanFile.limit else {
      throw GatewayError.refused("\(path): longer than any plan")
    }
    let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    do {
      return try GatewayPlanFile(json: Array(bytes))
    } catch {
      throw GatewayError.refused("\(path): \(error)")
    }
  }
}
