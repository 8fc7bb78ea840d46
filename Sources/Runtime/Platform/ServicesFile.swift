internal import Base
internal import Foundation
internal import Slices

/// The services file of a standalone cluster, read again whenever it was replaced or written.
struct ServicesFile: Sendable {
  let path: String
  private var seen: Stamp?

  private struct Stamp: Equatable {
    var inode: UInt64
    var size: UInt64
    var modified: Date
  }

  init(path: String) {
    self.path = path
  }

  /// The content, if it changed since the last call. Throws what is wrong with it, once; the last
  /// good content stays in force.
  mutating func readIfChanged() throws(LocatedError) -> LocalServices? {
    guard let attributes = try? FileManager.default.attributesOfItem(atPath: path) else {
      if seen != nil {
        seen = nil
        throw LocatedError(file: path, reason: "is gone or cannot be read")
      }
      return nil
    }
    let stamp = Stamp(
      inode: (attributes[.systemFileNumber] as? NSNumber)?.uint64Value ?? 0,
      size: (attributes[.size] as? NSNumber)?.uint64Value ?? 0,
      modified: attributes[.modificationDate] as? Date ?? .distantPast)
    guard stamp != seen else { return nil }
    seen = stamp
    guard let data = FileManager.default.contents(atPath: path) else {
      throw LocatedError(file: path, reason: "cannot be read")
    }
    let document = try YAMLDocument.parse(String(decoding: data, as: UTF8.self), file: path)
    do throws(ManifestError) {
      return try LocalServices(document.value)
    } catch {
      let first = error.errors.first ?? FieldError(path: "", reason: "is not valid")
      throw document.error(first.path, first.reason, allowed: first.allowed)
    }
  }
}
