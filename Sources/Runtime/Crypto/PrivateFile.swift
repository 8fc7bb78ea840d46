internal import Base
internal import CLinux
internal import Glibc

/// Why a file could not be read or written, as the operating system says it.
struct FileError: Error, Hashable, Sendable {
  var code: Int32
  var reason: String { String(cString: strerror(code)) }
  var isMissing: Bool { code == ENOENT }
  var isDiskFull: Bool { code == ENOSPC || code == EDQUOT }

  /// The file was read, and is not what it should be.
  static let unfit = FileError(code: EINVAL)

  static var last: FileError { FileError(code: errno) }
}

/// Files that hold secrets: mode 0600, and replaced whole or not at all.
enum PrivateFile {
  struct Content: Sendable {
    var bytes: [UInt8]
    /// Permission bits.
    var mode: UInt32
    var isRegular: Bool

    /// Someone other than the owner may read or write it.
    var isExposed: Bool { mode & 0o077 != 0 }
  }

  /// Reads at most `limit` bytes: a longer file throws `EFBIG`.
  static func read(_ path: String, limit: Int) throws(FileError) -> Content {
    // Not blocking: a path may name a pipe.
    let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard file >= 0 else { throw .last }
    defer { close(file) }
    var (mode, size, isRegular): (UInt32, Int64, Int32) = (0, 0, 0)
    guard starling_file_status(file, &mode, &size, &isRegular) == 0 else { throw .last }
    guard isRegular != 0 else { return Content(bytes: [], mode: mode, isRegular: false) }
    guard size <= limit else { throw FileError(code: EFBIG) }
    var bytes = [UInt8](repeating: 0, count: limit)
    var count = 0
    while count < limit {
      let got = bytes.withUnsafeMutableBytes { buffer in
        Glibc.read(file, buffer.baseAddress.map { $0 + count }, limit - count)
      }
      if got < 0, errno == EINTR { continue }
      guard got >= 0 else { throw .last }
      if got == 0 { break }
      count += got
    }
    bytes.removeLast(limit - count)
    return Content(bytes: bytes, mode: mode, isRegular: true)
  }

  /// Writes a file of mode 0600 beside `path`, makes it durable and moves it into place.
  static func write(_ bytes: [UInt8], to path: String) throws(FileError) {
    let temporary = "\(path).\(Sodium.randomBytes(6).hex).new"
    let file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw .last }
    do throws(FileError) {
      defer { close(file) }
      try writeAll(bytes, to: file)
      guard fsync(file) == 0 else { throw .last }
    } catch {
      unlink(temporary)
      throw error
    }
    guard rename(temporary, path) == 0 else {
      let error = FileError.last
      unlink(temporary)
      throw error
    }
    try syncDirectory(of: path)
  }

  private static func writeAll(_ bytes: [UInt8], to file: Int32) throws(FileError) {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes { buffer in
        Glibc.write(file, buffer.baseAddress.map { $0 + sent }, bytes.count - sent)
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw .last }
      sent += count
    }
  }

  /// A rename is durable once its directory is.
  private static func syncDirectory(of path: String) throws(FileError) {
    let parent = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) }
    let directory = open(parent ?? ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { throw .last }
    defer { close(directory) }
    guard fsync(directory) == 0 else { throw .last }
  }
}
