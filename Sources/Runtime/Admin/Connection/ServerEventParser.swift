/// Reads server-sent events (WHATWG HTML, section 9.2) from chunks that end anywhere.
struct ServerEventParser {
  struct Event: Hashable {
    var name: String
    var data: String
  }

  /// A line, and the data of an event, may not be longer.
  static let limit = 1 << 20

  private var line: [UInt8] = []
  private var name = ""
  private var data: [String] = []
  private var size = 0

  /// Throws where the peer sends more than any event needs.
  mutating func read(_ chunk: some Sequence<UInt8>) throws(AdminError) -> [Event] {
    var events: [Event] = []
    for byte in chunk {
      guard byte == UInt8(ascii: "\n") else {
        line.append(byte)
        size += 1
        guard size <= Self.limit else { throw AdminError(.failed, "the peer's event is too large") }
        continue
      }
      if line.last == UInt8(ascii: "\r") { line.removeLast() }
      if line.isEmpty {
        if !data.isEmpty { events.append(Event(name: name, data: data.joined(separator: "\n"))) }
        (name, data, size) = ("", [], 0)
      } else {
        field(String(decoding: line, as: UTF8.self))
      }
      line = []
    }
    return events
  }

  private mutating func field(_ text: String) {
    guard let colon = text.firstIndex(of: ":") else { return }
    var value = text[text.index(after: colon)...]
    if value.hasPrefix(" ") { value.removeFirst() }
    switch text[..<colon] {
    case "event": name = String(value)
    case "data": data.append(String(value))
    default: break
    }
  }
}
