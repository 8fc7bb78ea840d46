internal import CLinux
internal import Glibc

/// Files that a person names on the command line; `-` is standard input, pipes are fine.
public enum TextFile {
  /// Room for a manifest of the greatest size that is parsed.
  public static let maximumBytes = 4 << 20

  /// - Parameter isSecret: refused where others than the owner may read the file.
  public static func readBytes(
    _ path: String, limit: Int = maximumBytes, isSecret: Bool = false
  ) throws(AdminError) -> [UInt8] {
    let isInput = path == "-"
    let file = isInput ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else {
      throw .usage("\(path): cannot read the file: \(FileError.last.reason)")
    }
    defer { if !isInput { close(file) } }
    if isSecret, isExposed(file) {
      throw AdminError(
        .failed, "\(path): others may read this secret", fix: "Run: chmod 600 \(path)")
    }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = Glibc.read(file, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else {
        throw .usage("\(path): cannot read the file: \(FileError.last.reason)")
      }
      if count == 0 { return bytes }
      bytes += chunk[..<count]
      guard bytes.count <= limit else { throw .usage("\(path): is larger than \(limit) bytes") }
    }
  }

  /// A pipe (`<(pass show ...)`) is nobody else's.
  private static func isExposed(_ file: Int32) -> Bool {
    var (mode, size, isRegular): (UInt32, Int64, Int32) = (0, 0, 0)
    guard starling_file_status(file, &mode, &size, &isRegular) == 0 else { return false }
    return isRegular != 0 && mode & 0o077 != 0
  }

  public static func read(
    _ path: String, limit: Int = maximumBytes, isSecret: Bool = false
  ) throws(AdminError) -> String {
    let bytes = try readBytes(path, limit: limit, isSecret: isSecret)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw .usage("\(path): is not text in UTF-8")
    }
    return text
  }

  /// Whole or not at all, mode 0600. An existing file is an error unless `replacing`.
  public static func write(
    _ bytes: [UInt8], to path: String, replacing: Bool = false
  ) throws(AdminError) {
    if !replacing, exists(path) {
      throw AdminError(.failed, "\(path): the file exists already; it is not overwritten")
    }
    do throws(FileError) {
      try PrivateFile.write(bytes, to: path)
    } catch {
      throw AdminError(.failed, "\(path): cannot write the file: \(error.reason)")
    }
  }

  public static func exists(_ path: String) -> Bool {
    access(path, F_OK) == 0
  }

  static var currentDirectory: String {
    guard let pointer = getcwd(nil, 0) else { return "." }
    defer { free(pointer) }
    return String(cString: pointer)
  }

  public static func remove(_ path: String) {
    unlink(path)
  }

  /// With its parents, mode 0700.
  public static func makeDirectory(_ path: String) throws(AdminError) {
    var made = path.hasPrefix("/") ? "/" : ""
    for part in path.split(separator: "/") {
      made += (made.isEmpty || made.hasSuffix("/") ? "" : "/") + part
      guard mkdir(made, 0o700) == 0 || errno == EEXIST else {
        throw AdminError(.failed, "\(made): cannot make the folder: \(FileError.last.reason)")
      }
    }
  }

  /// Names in a folder, ascending; none where there is no such folder.
  static func names(in directory: String) -> [String] {
    guard let handle = opendir(directory) else { return [] }
    defer { closedir(handle) }
    var names: [String] = []
    while let entry = readdir(handle) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  static func directory(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
