internal import Base
internal import Glibc
internal import Synchronization

/// One daemon a data directory: an advisory lock that ends with the process, however it ends.
final class DirectoryLock: Sendable {
  /// -1 once it is released.
  private let file: Mutex<Int32>

  init(directory: String) throws(StorageError) {
    let path = "\(directory)/lock"
    let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else {
      throw .unusable(path: path, reason: FileError.last.reason)
    }
    guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
      let holder = Self.holder(file)
      close(file)
      throw .inUse(directory: directory, process: holder)
    }
    let text = Array("\(getpid())\n".utf8)
    // The number is for people only, so a full disk does not matter here.
    if ftruncate(file, 0) == 0 { _ = pwrite(file, text, text.count, 0) }
    self.file = Mutex(file)
  }

  deinit {
    release()
  }

  func release() {
    file.withLock { file in
      // Explicitly: a child process between its fork and its exec still holds the file open.
      if file >= 0 {
        flock(file, LOCK_UN)
        close(file)
      }
      file = -1
    }
  }

  private static func holder(_ file: Int32) -> String {
    var buffer = [UInt8](repeating: 0, count: 16)
    let count = pread(file, &buffer, buffer.count, 0)
    let digits = buffer.prefix(max(0, count)).prefix { (48...57).contains($0) }
    return digits.isEmpty ? "unknown" : String(decoding: digits, as: UTF8.self)
  }
}
