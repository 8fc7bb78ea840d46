internal import Base
internal import Glibc

/// `$VISUAL`, `$EDITOR` or vi on a text.
public enum Editor {
  /// The text as it was saved.
  public static func edit(
    _ text: String, name: String, environment: [String: String]
  ) throws(AdminError) -> String {
    let folder = environment["TMPDIR"] ?? "/tmp"
    let path = "\(folder)/starling-\(Sodium.randomBytes(6).hex)-\(name).yaml"
    try TextFile.write(Array(text.utf8), to: path)
    defer { unlink(path) }
    let editor =
      [environment["VISUAL"], environment["EDITOR"]]
      .compactMap { $0 }.first { !$0.isEmpty } ?? "vi"
    // Through the shell, as EDITOR may hold arguments: "code --wait".
    let status = try run(
      ["/bin/sh", "-c", "\(editor) \"$1\"", "sh", path], environment: environment)
    guard status == 0 else {
      throw AdminError(
        .failed, "the editor (\(editor)) ended with status \(status); nothing was changed",
        fix: "Set EDITOR to an editor that waits until the file is closed.")
    }
    return try TextFile.read(path)
  }

  /// Runs with this process' terminal, and waits.
  private static func run(
    _ arguments: [String], environment: [String: String]
  ) throws(AdminError) -> Int32 {
    var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    var env: [UnsafeMutablePointer<CChar>?] =
      environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for pointer in argv + env { free(pointer) } }
    var child = pid_t()
    let failure = posix_spawn(&child, arguments[0], nil, nil, &argv, &env)
    guard failure == 0 else {
      throw AdminError(
        .failed, "cannot start \(arguments[0]): \(FileError(code: failure).reason)")
    }
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0 {
      guard errno == EINTR else { return -1 }
    }
    // WIFEXITED and WEXITSTATUS are macros.
    return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f)
  }
}
