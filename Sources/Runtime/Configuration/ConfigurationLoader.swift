internal import Base
internal import Slices

/// Everything that is wrong with a configuration, in the order flags, environment, file.
public struct ConfigurationErrors: Error, Sendable, CustomStringConvertible {
  public var errors: [LocatedError]

  public var description: String {
    errors.map(\.description).joined(separator: "\n")
  }
}

/// Where the value in force comes from.
public enum ConfigurationSource: Hashable, Sendable, CustomStringConvertible {
  case flag(String)
  case environment(String)
  case file(String, line: Int?)
  case standard

  public var description: String {
    switch self {
    case .flag(let flag): flag
    case .environment(let name): name
    case .file(let file, let line): line.map { "\(file):\($0)" } ?? file
    case .standard: "default"
    }
  }
}

/// Merges flags over the environment over the file over the defaults, and checks each value where it
/// stands. Reads nothing by itself.
public struct ConfigurationLoader: Sendable {
  /// Text of flags by option name.
  public var flags: [String: String]
  public var environment: [String: String]
  public var file: YAMLDocument?

  public init(
    flags: [String: String] = [:], environment: [String: String] = [:], file: YAMLDocument? = nil
  ) {
    self.flags = flags
    self.environment = environment
    self.file = file
  }

  struct Setting: Hashable, Sendable {
    var value: Value
    var source: ConfigurationSource
  }

  /// The values in force by option name; options that are not set are left out.
  func settings() throws(ConfigurationErrors) -> [String: Setting] {
    var errors: [LocatedError] = []
    var settings = fromFile(&errors)
    for option in ConfigurationOption.all {
      if let text = environment[option.environmentName] {
        settings[option.name] = Setting(
          value: option.kind.value(ofText: text), source: .environment(option.environmentName))
      }
      if let text = flags[option.name] {
        settings[option.name] = Setting(
          value: option.kind.value(ofText: text), source: .flag(option.flag))
      }
    }
    for option in ConfigurationOption.all {
      if settings[option.name] == nil, let standard = option.standard {
        settings[option.name] = Setting(value: standard, source: .standard)
      }
    }
    resolveDataDir(&settings)
    for option in ConfigurationOption.all {
      guard let setting = settings[option.name] else { continue }
      if !option.kind.accepts(setting.value) { errors.append(error(option, setting)) }
    }
    if let token = settings["joinToken"], settings["joinTokenFile"] != nil {
      errors.append(
        located(
          token.source, "joinToken", "joinTokenFile is set too", allowed: "one of the two"))
    }
    guard errors.isEmpty else {
      throw ConfigurationErrors(errors: errors.sorted { ($0.line ?? 0) < ($1.line ?? 0) })
    }
    return settings
  }

  private func resolveDataDir(_ settings: inout [String: Setting]) {
    guard let folder = settings["dataDir"]?.value.string else { return }
    for (name, setting) in settings {
      guard let text = setting.value.string, text.hasPrefix("<dataDir>") else { continue }
      settings[name]?.value = .string(folder + text.dropFirst("<dataDir>".count))
    }
  }

  // MARK: The file

  private func fromFile(_ errors: inout [LocatedError]) -> [String: Setting] {
    guard let file else { return [:] }
    var settings: [String: Setting] = [:]
    collect(file.value, at: "", of: file, &settings, &errors)
    return settings
  }

  private func collect(
    _ value: Value, at path: String, of file: YAMLDocument, _ settings: inout [String: Setting],
    _ errors: inout [LocatedError]
  ) {
    guard let fields = value.fields else {
      errors.append(file.error(path, "is not a map", allowed: Self.names(under: path)))
      return
    }
    for field in fields {
      let name = path.isEmpty ? field.name : "\(path).\(field.name)"
      // What is written without a value is not set.
      if field.value == .null, Self.isKnown(name) { continue }
      if let option = ConfigurationOption.named(name) {
        settings[name] = Setting(
          value: option.kind.value(ofItem: field.value),
          source: .file(file.file, line: file.line(of: name)))
      } else if ConfigurationOption.all.contains(where: { $0.name.hasPrefix(name + ".") }) {
        collect(field.value, at: name, of: file, &settings, &errors)
      } else {
        errors.append(unknown(name, in: file))
      }
    }
  }

  private static func isKnown(_ name: String) -> Bool {
    ConfigurationOption.all.contains { $0.name == name || $0.name.hasPrefix(name + ".") }
  }

  private func unknown(_ name: String, in file: YAMLDocument) -> LocatedError {
    let parent = name.lastIndex(of: ".").map { String(name[..<$0]) } ?? ""
    let siblings = Self.namesList(under: parent)
    let last = String(name.split(separator: ".").last ?? "")
    // The right name at the wrong depth is as frequent as a typing error.
    let elsewhere = ConfigurationOption.all.map(\.name).filter { $0.hasSuffix("." + last) }
    let near =
      NameRules.nearest(to: last, among: siblings).map { parent.isEmpty ? $0 : "\(parent).\($0)" }
      ?? elsewhere.first ?? NameRules.nearest(to: name, among: ConfigurationOption.all.map(\.name))
    return file.error(
      name, "unknown option" + (near.map { "; did you mean \($0)?" } ?? ""),
      allowed: siblings.joined(separator: ", "))
  }

  private static func names(under path: String) -> String {
    namesList(under: path).joined(separator: ", ")
  }

  /// The names that may follow a path, each once, in the order of the options.
  private static func namesList(under path: String) -> [String] {
    let prefix = path.isEmpty ? "" : path + "."
    var names: [String] = []
    for option in ConfigurationOption.all where option.name.hasPrefix(prefix) {
      let rest = option.name.dropFirst(prefix.count).prefix { $0 != "." }
      if !names.contains(String(rest)) { names.append(String(rest)) }
    }
    return names
  }

  // MARK: Errors

  private func error(_ option: ConfigurationOption, _ setting: Setting) -> LocatedError {
    let found: String =
      switch setting.value {
      case .string(let text): "\"\(Self.printable(text))\" is not allowed"
      case .integer(let number): "\(number) is not allowed"
      case .bool(let truth): "\(truth) is not allowed"
      case .list: Self.wrongItem(setting.value, option.kind) ?? "a list is not allowed"
      case .map: "a map is not allowed"
      case .null, .bytes: "has no value"
      }
    let text: String = option.kind == .secret ? "is not one line of printable text" : found
    return located(setting.source, option.name, text, allowed: option.kind.allowed)
  }

  private static func wrongItem(_ value: Value, _ kind: ConfigurationOption.Kind) -> String? {
    guard case .list(let element) = kind, let items = value.list else { return nil }
    guard items.count <= ConfigurationOption.listLimit else { return "has \(items.count) entries" }
    guard let wrong = items.first(where: { !element.accepts($0) }) else { return nil }
    return
      "\"\(printable(wrong.string ?? wrong.integer.map(String.init) ?? "..."))\" is not allowed"
  }

  private static func printable(_ text: String) -> String {
    String(text.unicodeScalars.prefix(80).map { $0.value < 32 ? "?" : Character($0) })
  }

  private func located(
    _ source: ConfigurationSource, _ name: String, _ reason: String, allowed: String
  ) -> LocatedError {
    switch source {
    case .flag(let flag):
      LocatedError(file: "command line", field: flag, reason: reason, allowed: allowed)
    case .environment(let variable):
      LocatedError(file: "environment", field: variable, reason: reason, allowed: allowed)
    case .file(let file, let line):
      LocatedError(file: file, line: line, field: name, reason: reason, allowed: allowed)
    case .standard:
      LocatedError(file: "default", field: name, reason: reason, allowed: allowed)
    }
  }

  /// Variables that look like mistyped options. Not errors: Kubernetes itself sets `STARLING_PORT`,
  /// `STARLING_SERVICE_HOST` and the like for a Service of that name.
  public var suspiciousVariables: [(name: String, near: String)] {
    let known = ConfigurationOption.all.map(\.environmentName)
    return environment.keys.sorted().compactMap { name in
      guard name.hasPrefix("STARLING_"), !known.contains(name),
        let near = NameRules.nearest(to: name, among: known), abs(near.count - name.count) <= 2
      else { return nil }
      return (name, near)
    }
  }
}
