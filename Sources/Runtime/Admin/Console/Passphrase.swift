/// Where the passphrase of an admin key comes from: a file, the environment, or the terminal.
public struct PassphraseSource: Sendable {
  public var file: String?
  public var environment: [String: String]
  /// Asks on the terminal; `nil` where there is none.
  var ask: @Sendable (String) -> String?

  static let maximumBytes = 4096

  public init(file: String?, environment: [String: String]) {
    self.init(file: file, environment: environment) { Terminal.ask($0, echo: false) }
  }

  init(
    file: String?, environment: [String: String], ask: @escaping @Sendable (String) -> String?
  ) {
    self.file = file
    self.environment = environment
    self.ask = ask
  }

  /// The passphrase of an existing key.
  public func existing(for path: String) throws(AdminError) -> String {
    if let given = try given() { return given }
    guard let typed = ask("Passphrase of \(path): ") else { throw noTerminal(path) }
    return typed
  }

  /// The passphrase of a key that is being made: typed twice.
  public func new(for path: String) throws(AdminError) -> String {
    let passphrase: String
    if let given = try given() {
      passphrase = given
    } else {
      guard let typed = ask("New passphrase for \(path): ") else { throw noTerminal(path) }
      guard typed == ask("The same again: ") else {
        throw AdminError(.failed, "the two passphrases differ; no key was made")
      }
      passphrase = typed
    }
    guard !passphrase.isEmpty else {
      throw .usage(
        "the passphrase is empty", fix: "Give one, or --no-passphrase to leave the key open.")
    }
    return passphrase
  }

  private func given() throws(AdminError) -> String? {
    if let file { return try read(file) }
    if let file = environment["STARLING_PASSPHRASE_FILE"], !file.isEmpty { return try read(file) }
    return environment["STARLING_PASSPHRASE"]
  }

  /// The first line. A file has to be its owner's alone; a pipe (`<(pass show ...)`) is fine.
  private func read(_ path: String) throws(AdminError) -> String {
    let text = try TextFile.read(path, limit: Self.maximumBytes, isSecret: true)
    return String(text.prefix { !$0.isNewline })
  }

  private func noTerminal(_ path: String) -> AdminError {
    AdminError(
      .failed, "\(path): the key is encrypted and there is no terminal to ask on",
      fix: "Set STARLING_PASSPHRASE_FILE or STARLING_PASSPHRASE, or give --passphrase-file.")
  }
}
