import Base
import Glibc
import Testing

@testable import Runtime

@Suite("Key files")
struct KeyFileTests {
  let directory = TemporaryDirectory()

  private func error(_ body: () throws -> Void) -> KeyFileError? {
    do {
      try body()
      return nil
    } catch { return error as? KeyFileError }
  }

  @Test("an encrypted key opens with its passphrase alone")
  func encrypted() throws {
    let path = directory.file("admin.key")
    let key = SigningKey()
    try KeyFile.write(key, to: path, passphrase: "correct horse", strength: .weakest)
    let file = try KeyFile(reading: path)
    #expect(file.isEncrypted)
    #expect(file.publicKey == key.publicKey)
    #expect(try file.unlock(passphrase: "correct horse").seed == key.seed)
    #expect(error { _ = try file.unlock(passphrase: "battery") } == .wrongPassphrase(path))
    #expect(error { _ = try file.unlock() } == .passphraseNeeded(path))
    let text = try #require(
      String(validating: PrivateFile.read(path, limit: 4_096).bytes, as: UTF8.self))
    #expect(!text.contains(key.seed.hex))
    #expect(text.contains(key.publicKey.hex))
    #expect(try PrivateFile.read(path, limit: 4_096).mode == 0o600)
  }

  @Test("the strength that users get is in the file")
  func standardStrength() throws {
    let path = directory.file("admin.key")
    let key = SigningKey()
    try KeyFile.write(key, to: path, passphrase: "p")
    #expect(try KeyFile(reading: path).unlock(passphrase: "p").seed == key.seed)
    let text = String(decoding: try PrivateFile.read(path, limit: 4_096).bytes, as: UTF8.self)
    #expect(text.contains("passes: 3\nmemory-kib: 65536\n"))
  }

  @Test("a peer's key is made once and then read")
  func plain() throws {
    let path = directory.file("peer.key")
    let first = try KeyFile.openOrCreatePlain(path)
    let second = try KeyFile.openOrCreatePlain(path)
    #expect(first.publicKey == second.publicKey)
    #expect(try !KeyFile(reading: path).isEncrypted)
  }

  @Test("each fault is one line that names the file")
  func faults() throws {
    let path = directory.file("k")
    #expect(error { _ = try KeyFile(reading: path) } == .notFound(path))
    #expect(error { _ = try KeyFile(reading: directory.path) } == .notAKeyFile(directory.path))

    try KeyFile.write(SigningKey(), to: path, passphrase: nil)
    #expect(
      error { try KeyFile.write(SigningKey(), to: path, passphrase: nil) } == .exists(path))
    for mode: mode_t in [0o640, 0o604, 0o620, 0o777] {
      chmod(path, mode)
      #expect(error { _ = try KeyFile(reading: path) } == .exposed(path, mode: UInt32(mode)))
    }
    chmod(path, 0o400)
    #expect(error { _ = try KeyFile(reading: path) } == nil)

    let missing = directory.file("no/such/place")
    #expect(
      error { try KeyFile.write(SigningKey(), to: missing, passphrase: nil) }
        == .unwritable(missing, "No such file or directory"))
    let cases: [KeyFileError] = [
      .notFound(path), .exposed(path, mode: 0o644), .wrongPassphrase(path),
      .damaged(path, "its version is missing"), .unknownVersion(path, "9"),
    ]
    for fault in cases {
      #expect(fault.description.hasPrefix(path))
      #expect(!fault.description.contains("\n"))
    }
  }

  @Test("damaged files are told apart from others")
  func damaged() throws {
    let key = SigningKey()
    let path = directory.file("k")
    try KeyFile.write(key, to: path, passphrase: "p", strength: .weakest)
    let good = String(decoding: try PrivateFile.read(path, limit: 4_096).bytes, as: UTF8.self)
    func parse(_ text: String) -> KeyFileError? {
      error { _ = try KeyFile(parsing: Array(text.utf8), path: "f").unlock(passphrase: "p") }
    }
    #expect(parse(good) == nil)
    #expect(parse(good.split(separator: "\n").joined(separator: "\r\n")) == nil)
    #expect(parse("hello") == .notAKeyFile("f"))
    #expect(parse("") == .notAKeyFile("f"))
    #expect(
      parse(good.replacing("version: 1", with: "version: 2")) == .unknownVersion("f", "2"))
    #expect(
      parse(good.replacing(key.publicKey.hex, with: SigningKey().publicKey.hex))
        == .damaged("f", "the public key does not belong to the private key"))
    #expect(
      parse(good.replacing("memory-kib: 8", with: "memory-kib: 99999999"))
        == .damaged("f", "passes or memory-kib is missing or out of range"))
    #expect(
      parse(String(good.prefix(good.count / 2))) == .damaged("f", "its last line is missing"))
    var rng = SeededGenerator(seed: 2)
    for _ in 0..<2_000 {
      var bytes = Array(good.utf8)
      bytes[Int.random(in: bytes.indices, using: &rng)] = UInt8.random(in: 0...255, using: &rng)
      let changed = error {
        let opened = try KeyFile(parsing: bytes, path: "f").unlock(passphrase: "p")
        #expect(opened.seed == key.seed)
      }
      _ = changed
    }
  }
}
