internal import CNode
internal import Glibc

/// Runs a program of the system and waits for it.
public enum Command {
  public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
    public var command: String
    public var reason: String
    public var description: String { "\(command): \(reason)" }
  }

  static let outputLimit = 64 << 20

  /// - Returns: its standard output. Standard error goes to a file without a name and comes back in
  ///   the failure.
  @discardableResult
  public static func run(
    _ words: [String], input: String = ""
  ) throws(Failure) -> [UInt8] {
    let command = words.joined(separator: " ")
    let outcome: (status: Int32, output: [UInt8], errors: [UInt8])
    do throws(SystemError) {
      outcome = try spawn(words, Array(input.utf8))
    } catch {
      throw Failure(command: command, reason: "\(error)")
    }
    guard outcome.status == 0 else {
      throw Failure(command: command, reason: String(decoding: outcome.errors, as: UTF8.self))
    }
    return outcome.output
  }

  /// Input and outputs are files in memory, so that nobody can wait for anybody.
  private static func spawn(
    _ words: [String], _ input: [UInt8]
  ) throws(SystemError) -> (Int32, [UInt8], [UInt8]) {
    let name = words.first ?? ""
    let files = (try memory(), try memory(), try memory())
    defer {
      close(files.0)
      close(files.1)
      close(files.2)
    }
    try Files.write(input, to: files.0, name)
    lseek(files.0, 0, SEEK_SET)
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, files.0, 0)
    posix_spawn_file_actions_adddup2(&actions, files.1, 1)
    posix_spawn_file_actions_adddup2(&actions, files.2, 2)
    var arguments = words.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var process: pid_t = 0
    let result = posix_spawnp(&process, name, &actions, nil, &arguments, environ)
    guard result == 0 else { throw SystemError(name, result) }
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 {
      guard errno == EINTR else { throw SystemError(name) }
    }
    lseek(files.1, 0, SEEK_SET)
    lseek(files.2, 0, SEEK_SET)
    return (
      status, try Files.read(files.1, limit: outputLimit, name),
      try Files.read(files.2, limit: outputLimit, name)
    )
  }

  private static func memory() throws(SystemError) -> Int32 {
    let file = starling_node_memory()
    guard file >= 0 else { throw SystemError("a file in memory", -file) }
    return file
  }
}
