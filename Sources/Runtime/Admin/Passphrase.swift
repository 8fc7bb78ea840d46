internal import Foundation
internal import Glibc

/// Passphrases come from `$STARLING_PASSPHRASE`, the file `$STARLING_PASSPHRASE_FILE` names, or the
/// terminal, where nothing is echoed.
public enum Passphrase {
  public static let maximumBytes = 1024

  public static func read(_ prompt: String) throws(AdminError) -> String {
    let environment = ProcessInfo.processInfo.environment
    if let text = environment["STARLING_PASSPHRASE"] { return text }
    if let path = environment["STARLING_PASSPHRASE_FILE"] {
      guard let data = FileManager.default.contents(atPath: path) else {
        throw AdminError(.failed, "cannot read the passphrase file \(path)")
      }
      let line = data.prefix(maximumBytes).prefix { $0 != 0x0a && $0 != 0x0d }
      return String(decoding: line, as: UTF8.self)
    }
    return try ask(prompt)
  }

  /// Asks twice: for new keys.
  public static func choose(_ prompt: String) throws(AdminError) -> String {
    let environment = ProcessInfo.processInfo.environment
    let isGiven =
      environment["STARLING_PASSPHRASE"] != nil || environment["STARLING_PASSPHRASE_FILE"] != nil
    let first = try read(prompt)
    if !isGiven, try ask("Again: ") != first {
      throw AdminError(.failed, "the two passphrases differ; nothing was written")
    }
    guard !first.isEmpty else {
      throw AdminError(
        .failed, "an admin key is not kept without a passphrase; nothing was written")
    }
    return first
  }

  private static func ask(_ prompt: String) throws(AdminError) -> String {
    let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC)
    guard terminal >= 0 else {
      throw AdminError(
        .failed, "a passphrase is needed and there is no terminal to ask on",
        fix: "Set STARLING_PASSPHRASE_FILE.")
    }
    defer { close(terminal) }
    var saved = termios()
    tcgetattr(terminal, &saved)
    var silent = saved
    silent.c_lflag &= ~tcflag_t(ECHO)
    tcsetattr(terminal, TCSAFLUSH, &silent)
    defer { tcsetattr(terminal, TCSAFLUSH, &saved) }
    write(terminal, prompt, prompt.utf8.count)
    var line: [UInt8] = []
    var byte: UInt8 = 0
    while line.count < maximumBytes, Glibc.read(terminal, &byte, 1) == 1, byte != 0x0a {
      line.append(byte)
    }
    write(terminal, "\n", 1)
    return String(decoding: line, as: UTF8.self)
  }
}
