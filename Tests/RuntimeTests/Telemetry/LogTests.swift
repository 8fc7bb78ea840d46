import Foundation
import Logging
import Synchronization
import Testing

@testable import Runtime

@Suite struct LogTests {
  final class Lines: Sendable {
    let all = Mutex<[String]>([])
    func add(_ bytes: [UInt8]) {
      all.withLock { $0.append(String(decoding: bytes, as: UTF8.self)) }
    }
  }

  func logger(_ format: DaemonConfiguration.LogFormat, _ lines: Lines) -> Logger {
    Logger(label: "starling.test") { label in
      StandardErrorLog(
        label: label, level: .info, format: format, write: { lines.add($0) },
        now: { APITime(milliseconds: 1_769_847_300_250) })
    }
  }

  @Test func textHasOneLineAnEntry() {
    let lines = Lines()
    var logger = logger(.text, lines)
    logger[metadataKey: "cluster"] = "eu-1"
    logger.debug("not shown")
    logger.info("joined", metadata: ["peers": "3", "why": "a \"token\"", "empty": ""])
    logger.warning("two\nlines\u{1b}[31m")
    #expect(
      lines.all.withLock { $0 } == [
        "2026-01-31T08:15:00.250Z info starling.test: joined cluster=eu-1 empty=\"\" peers=3 "
          + "why=\"a \\\"token\\\"\"\n",
        "2026-01-31T08:15:00.250Z warning starling.test: two\\nlines\\u001b[31m cluster=eu-1\n",
      ])
  }

  @Test func jsonHasOneObjectALine() throws {
    let lines = Lines()
    logger(.json, lines).error("bad \"thing\"\n", metadata: ["level": "x", "n": "1"])
    let line = try #require(lines.all.withLock { $0.first })
    #expect(line.hasSuffix("}\n"))
    let object = try JSONDecoder().decode([String: String].self, from: Data(line.utf8))
    #expect(
      object == [
        "time": "2026-01-31T08:15:00.250Z", "level": "error", "logger": "starling.test",
        "message": "bad \"thing\"\n", "meta.level": "x", "n": "1",
      ])
  }
}
