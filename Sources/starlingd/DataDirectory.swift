import Foundation

/// The data directory cannot be used.
struct DataDirectoryError: Error, CustomStringConvertible {
  var path: String
  var reason: String
  var isPermission: Bool

  var description: String {
    "dataDir: \(path): \(reason); set dataDir to a folder that this user may write"
  }
}

enum DataDirectory {
  /// Makes the folder where it is missing, for this user alone: it holds keys.
  static func prepare(_ path: String) throws(DataDirectoryError) {
    do {
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
      throw failure(path, errno)
    }
    guard access(path, R_OK | W_OK | X_OK) == 0 else { throw failure(path, errno) }
  }

  private static func failure(_ path: String, _ code: Int32) -> DataDirectoryError {
    DataDirectoryError(
      path: path, reason: code == 0 ? "cannot be made" : String(cString: strerror(code)),
      isPermission: code == EACCES || code == EPERM)
  }
}
