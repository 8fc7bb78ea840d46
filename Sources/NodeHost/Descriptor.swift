internal import CNode
internal import Glibc

/// An open file that closes with its owner.
public struct Descriptor: ~Copyable {
  public let number: Int32

  public init(_ number: Int32) { self.number = number }

  public init(reading path: String) throws(SystemError) {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw SystemError(path) }
    number = file
  }

  deinit { close(number) }
}

public enum NetworkNamespace {
  /// Runs in another network namespace and comes back. For programs with one thread.
  public static func inside<Value, Failure: Error>(
    _ namespace: borrowing Descriptor, _ body: () throws(Failure) -> Value
  ) throws -> Value {
    let own = try Descriptor(reading: "/proc/thread-self/ns/net")
    let result = starling_node_enter(namespace.number)
    guard result == 0 else { throw SystemError("entering a network namespace", -result) }
    defer {
      // A program that stayed on the wrong side would do harm there.
      if starling_node_enter(own.number) != 0 { abort() }
    }
    return try body()
  }

  /// Makes a namespace under its path where there is none.
  public static func keep(_ path: String) throws(SystemError) {
    let folder = path.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" }
    try Files.makeFolder(folder)
    let result = starling_node_keep_namespace(path)
    guard result == 0 else { throw SystemError(path, -result) }
  }
}
