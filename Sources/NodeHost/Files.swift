internal import Glibc

/// Small files that appear whole or not at all.
public enum Files {
  public static func read(_ path: String, limit: Int = 32 << 20) throws(SystemError) -> [UInt8] {
    let file = try Descriptor(reading: path)
    return try read(file.number, limit: limit, path)
  }

  /// Until its end.
  public static func read(
    _ file: Int32, limit: Int, _ name: String
  ) throws(SystemError) -> [UInt8] {
    var out: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      let count = Glibc.read(file, &buffer, buffer.count)
      if count == 0 { return out }
      if count < 0 {
        if errno == EINTR { continue }
        throw SystemError(name)
      }
      out += buffer[..<count]
      guard out.count <= limit else { throw SystemError(name, EFBIG) }
    }
  }

  public static func write(_ bytes: [UInt8], to file: Int32, _ name: String) throws(SystemError) {
    var offset = 0
    while offset < bytes.count {
      let count = bytes[offset...].withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
      if count < 0 {
        if errno == EINTR { continue }
        throw SystemError(name)
      }
      offset += count
    }
  }

  /// On disk, under its name, before this returns.
  public static func replace(
    _ path: String, with bytes: [UInt8], mode: UInt32 = 0o600
  ) throws(SystemError) {
    let temporary = path + ".new"
    let file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    guard file >= 0 else { throw SystemError(temporary) }
    try writeAndClose(bytes, file, temporary)
    guard rename(temporary, path) == 0 else { throw SystemError(path) }
    let folder = path.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" }
    let handle = try Descriptor(reading: folder.isEmpty ? "/" : folder)
    fsync(handle.number)
  }

  private static func writeAndClose(
    _ bytes: [UInt8], _ file: Int32, _ name: String
  ) throws(SystemError) {
    defer { close(file) }
    try write(bytes, to: file, name)
    guard fsync(file) == 0 else { throw SystemError(name) }
  }

  /// No error where there is none.
  public static func remove(_ path: String) throws(SystemError) {
    guard unlink(path) == 0 || errno == ENOENT else { throw SystemError(path) }
  }

  /// Makes it as new as if it had been written.
  public static func touch(_ path: String) throws(SystemError) {
    guard utimensat(AT_FDCWD, path, nil, 0) == 0 else { throw SystemError(path) }
  }

  public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  public static func makeFolder(_ path: String) throws(SystemError) {
    var made = ""
    for part in path.split(separator: "/") {
      made += "/\(part)"
      guard mkdir(made, 0o755) == 0 || errno == EEXIST else { throw SystemError(made) }
    }
  }

  /// Names in a folder, ascending; none where there is no folder.
  public static func names(in folder: String) throws(SystemError) -> [String] {
    guard let handle = opendir(folder) else {
      if errno == ENOENT { return [] }
      throw SystemError(folder)
    }
    defer { closedir(handle) }
    var out: [String] = []
    while let entry = readdir(handle) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { out.append(name) }
    }
    return out.sorted()
  }

  /// Differs as soon as the file or folder is another or was written to.
  public static func stamp(_ path: String) -> [Int] {
    var status = stat()
    guard stat(path, &status) == 0 else { return [] }
    return [Int(status.st_ino), status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
  }

  /// Seconds since the file changed; `nil`: there is none.
  public static func age(_ path: String) -> Int? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    return max(0, time(nil) - status.st_mtim.tv_sec)
  }
}
