internal import FoundationEssentials
public import Logging

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// Writes log entries to standard error, one line and one system call each.
///
/// Text: `2026-01-31T08:15:00.250Z info starling.peer: joined cluster=eu-1`; JSON: one object a line.
/// Whatever a message holds, it stays on its line: control characters are escaped.
public struct StandardErrorLog: LogHandler {
  public var logLevel: Logger.Level
  public var metadata: Logger.Metadata = [:]
  public var metadataProvider: Logger.MetadataProvider?
  let label: String
  let format: DaemonConfiguration.LogFormat
  let write: @Sendable ([UInt8]) -> Void
  let now: @Sendable () -> APITime

  init(
    label: String, level: Logger.Level, format: DaemonConfiguration.LogFormat,
    write: @escaping @Sendable ([UInt8]) -> Void = Self.writeToStandardError,
    now: @escaping @Sendable () -> APITime = { .now }
  ) {
    self.label = label
    logLevel = level
    self.format = format
    self.write = write
    self.now = now
  }

  /// A logger of its own, without a global bootstrap; `level` as swift-log spells it, else `info`.
  public static func logger(
    _ label: String, level: String, format: DaemonConfiguration.LogFormat
  ) -> Logger {
    Logger(label: label) {
      StandardErrorLog(label: $0, level: Logger.Level(rawValue: level) ?? .info, format: format)
    }
  }

  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  public func log(event: LogEvent) {
    var all = metadata
    if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
    if let own = event.metadata { all.merge(own) { $1 } }
    if let error = event.error { all["error"] = "\(error)" }
    let fields = all.sorted { $0.key < $1.key }.map { ($0.key, $0.value.description) }
    var line =
      switch format {
      case .text: text(event.level, event.message.description, fields)
      case .json: json(event.level, event.message.description, fields)
      }
    line += "\n"
    write(Array(line.utf8))
  }

  private func text(
    _ level: Logger.Level, _ message: String, _ fields: [(String, String)]
  ) -> String {
    var line = "\(now()) \(level) \(label): \(Self.oneLine(message))"
    for (name, value) in fields {
      let plain =
        !value.isEmpty
        && value.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x3d }
      line += plain ? " \(name)=\(value)" : " \(name)=\(JSONText.quoted(value))"
    }
    return line
  }

  private func json(
    _ level: Logger.Level, _ message: String, _ fields: [(String, String)]
  ) -> String {
    let head = [
      ("time", now().description), ("level", "\(level)"), ("logger", label), ("message", message),
    ]
    // Metadata with the name of one of ours does not hide it.
    let rest = fields.map { field in
      head.contains { $0.0 == field.0 } ? ("meta." + field.0, field.1) : field
    }
    let pairs = (head + rest).map { "\(JSONText.quoted($0.0)):\(JSONText.quoted($0.1))" }
    return "{" + pairs.joined(separator: ",") + "}"
  }

  private static func oneLine(_ text: String) -> String {
    text.utf8.contains { $0 < 0x20 || $0 == 0x7f }
      ? String(JSONText.quoted(text).dropFirst().dropLast()) : text
  }

  @Sendable private static func writeToStandardError(_ bytes: [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
      // A log that cannot be written must not stop the daemon.
      if count < 0 && errno != EINTR { return }
      if count > 0 { rest = rest.dropFirst(count) }
    }
  }
}

extension APITime {
  /// The local wall clock.
  public static var now: APITime {
    APITime(milliseconds: UInt64(max(0, Date.now.timeIntervalSince1970 * 1000)))
  }
}

/// JSON strings (RFC 8259, section 7), without an encoder.
enum JSONText {
  static func quoted(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case _ where scalar.value < 0x20 || scalar.value == 0x7f:
        let digits = String(scalar.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }
}
