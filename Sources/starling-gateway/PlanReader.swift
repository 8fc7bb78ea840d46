import Foundation
import Runtime

/// Reads the plan, and refuses one that others can read.
enum PlanReader {
  /// Another one for another file or another content; `nil` where there is no file.
  struct Mark: Equatable {
    var inode: UInt64
    var size: Int
    var modified: Date
  }

  static func mark(_ path: String) -> Mark? {
    guard let found = try? FileManager.default.attributesOfItem(atPath: path) else { return nil }
    return Mark(
      inode: (found[.systemFileNumber] as? NSNumber)?.uint64Value ?? 0,
      size: (found[.size] as? NSNumber)?.intValue ?? 0,
      modified: found[.modificationDate] as? Date ?? .distantPast)
  }

  static func read(_ path: String) throws -> GatewayPlanFile {
    let bytes = try bytes(path, limit: GatewayPlanFile.limit)
    do {
      return try GatewayPlanFile(json: bytes)
    } catch {
      throw GatewayError.refused("\(path): \(error)")
    }
  }

  static func bytes(_ path: String, limit: Int) throws -> [UInt8] {
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    let mode = (attributes[.posixPermissions] as? NSNumber)?.intValue ?? 0
    guard mode & 0o077 == 0 else {
      throw GatewayError.refused(
        "\(path): others may read or write it, and it is the gateway's alone: chmod 600 \(path)")
    }
    guard (attributes[.size] as? NSNumber)?.intValue ?? 0 <= limit else {
      throw GatewayError.refused("\(path): longer than \(limit) bytes")
    }
    return Array(try Data(contentsOf: URL(fileURLWithPath: path)))
  }
}
