internal import Foundation

/// Streams a finished backup and removes it.
enum BackupReader {
  static let chunk = 256 << 10

  static func chunks(of path: String) -> AsyncThrowingStream<[UInt8], any Error> {
    AsyncThrowingStream { continuation in
      let task = Task {
        defer { try? FileManager.default.removeItem(atPath: path) }
        do {
          let file = try FileHandle(forReadingFrom: URL(filePath: path))
          defer { try? file.close() }
          while let data = try file.read(upToCount: chunk), !data.isEmpty {
            try Task.checkCancellation()
            continuation.yield([UInt8](data))
          }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { _ in task.cancel() }
    }
  }
}
