internal import FoundationEssentials

extension ConfigurationLoader {
  /// Read where no file is named, if it is there.
  public static let standardFile = "/etc/starling/starlingd.yaml"

  /// With the file as it stands on disk.
  ///
  /// - Parameter path: `nil` takes the standard file, or none.
  public static func reading(
    _ path: String?, flags: [String: String], environment: [String: String]
  ) throws(LocatedError) -> ConfigurationLoader {
    var loader = ConfigurationLoader(flags: flags, environment: environment)
    if let path = path ?? present(standardFile) {
      loader.file = try YAMLDocument.read(path)
    }
    return loader
  }

  private static func present(_ path: String) -> String? {
    FileManager.default.fileExists(atPath: path) ? path : nil
  }
}

extension YAMLDocument {
  /// The only document of a file.
  public static func read(_ path: String) throws(LocatedError) -> YAMLDocument {
    let data: Data
    do {
      data = try Data(contentsOf: URL(filePath: path))
    } catch {
      let reason = FileManager.default.fileExists(atPath: path) ? "cannot be read" : "is missing"
      throw LocatedError(file: path, reason: reason)
    }
    guard data.count <= maximumBytes else {
      throw LocatedError(file: path, reason: "is larger than \(maximumBytes) bytes")
    }
    guard let text = String(validating: data, as: UTF8.self) else {
      throw LocatedError(file: path, reason: "is not UTF-8 text")
    }
    return try parse(text, file: path)
  }
}
