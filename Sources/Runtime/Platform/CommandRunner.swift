internal import Subprocess

/// Runs a program of the system with text on its standard input.
enum CommandRunner {
  static let outputLimit = 1 << 20

  /// - Returns: its standard output.
  @discardableResult
  static func run(
    _ program: String, _ arguments: [String], input: String = ""
  ) async throws(CommandError) -> String {
    let name = ([program] + arguments).joined(separator: " ")
    do {
      let result = try await Subprocess.run(
        .name(program), arguments: Arguments(arguments), input: .string(input),
        output: .string(limit: outputLimit), error: .string(limit: outputLimit))
      guard result.terminationStatus.isSuccess else {
        throw CommandError(command: name, reason: result.standardError)
      }
      return result.standardOutput
    } catch let error as CommandError {
      throw error
    } catch {
      throw CommandError(command: name, reason: "\(error)")
    }
  }
}

struct CommandError: Error, CustomStringConvertible {
  var command: String
  var reason: String

  var description: String { "\(command): \(reason)" }
}
