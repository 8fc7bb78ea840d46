import Base
import Glibc

@testable import Runtime

/// A directory that is gone when its test is.
final class TemporaryDirectory: Sendable {
  let path: String

  init() {
    var template = Array("/tmp/starling-test-XXXXXX".utf8CString)
    path = mkdtemp(&template).map { String(cString: $0) } ?? "/tmp"
  }

  deinit {
    guard path != "/tmp" else { return }
    for name in names { unlink("\(path)/\(name)") }
    rmdir(path)
  }

  var names: [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  func file(_ name: String) -> String { "\(path)/\(name)" }
}

/// The time at which tests issue certificates: they are checked against the real clock.
var testNow: Now {
  Now(instant: .zero, wallMilliseconds: UInt64(time(nil)) * 1_000)
}

let testClusterSet = Sodium.sha256(Array("test clusterset".utf8))
