internal import Base

/// Where a peer's API is: `unix:///run/starling/api.sock` or `https://peer.example.com:7443`.
public enum PeerAddress: Hashable, Sendable, CustomStringConvertible {
  case unix(path: String)
  case network(host: String, port: Int)

  public static let standardPort = 7443
  /// Of a daemon with the standard data directory.
  public static let local = PeerAddress.unix(path: "/var/lib/starling/api.sock")

  public init(_ text: String) throws(AdminError) {
    if text.hasPrefix("unix://") || text.hasPrefix("/") {
      let path = text.hasPrefix("/") ? text : String(text.dropFirst(7))
      guard path.hasPrefix("/"), path.utf8.count <= 107, !path.utf8.contains(0) else {
        throw Self.refused(text, "the socket's path has to be absolute, at most 107 bytes")
      }
      self = .unix(path: path)
    } else if text.hasPrefix("https://") {
      var rest = text.dropFirst(8)
      if rest.hasSuffix("/") { rest.removeLast() }
      let (host, port) = try Self.hostAndPort(rest, text)
      self = .network(host: host, port: port)
    } else if text.hasPrefix("http://") {
      throw Self.refused(text, "the API is not served in the clear")
    } else {
      throw Self.refused(text, "it begins with neither unix:// nor https://")
    }
  }

  private static func hostAndPort(
    _ rest: Substring, _ text: String
  ) throws(AdminError) -> (String, Int) {
    guard !rest.isEmpty, !rest.contains("/"), !rest.contains("?"), !rest.contains("@") else {
      throw refused(text, "after https:// stands a host and a port, nothing else")
    }
    // An IPv6 address has colons of its own: [2001:db8::1]:7443.
    let afterHost = rest.lastIndex(of: "]").map { rest.index(after: $0) } ?? rest.startIndex
    guard let colon = rest[afterHost...].lastIndex(of: ":") else {
      return (String(rest), standardPort)
    }
    guard let port = Int(rest[rest.index(after: colon)...]), (1...65_535).contains(port),
      colon > rest.startIndex
    else { throw refused(text, "the port is not a number from 1 to 65535") }
    return (String(rest[..<colon]), port)
  }

  private static func refused(_ text: String, _ why: String) -> AdminError {
    .usage(
      "the peer \"\(text)\" is not an address: \(why)",
      fix: "Use unix:///path/to/api.sock or https://host:\(standardPort).")
  }

  public var description: String {
    switch self {
    case .unix(let path): "unix://\(path)"
    case .network(let host, let port): "https://\(host):\(port)"
    }
  }

  /// What stands in the `Host` header, and so in the request's signature.
  var authority: String {
    switch self {
    case .unix: "localhost"
    case .network(let host, let port): port == 443 ? host : "\(host):\(port)"
    }
  }

  /// The URL of a request as AsyncHTTPClient wants it.
  func url(_ target: String) -> String {
    switch self {
    case .unix(let path): "http+unix://\(Self.percentEncoded(path))\(target)"
    case .network(let host, let port): "https://\(host):\(port)\(target)"
    }
  }

  /// Everything but the unreserved characters of RFC 3986.
  static func percentEncoded(_ text: String) -> String {
    var out = ""
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
        UInt8(ascii: "_"), UInt8(ascii: "~"):
        out.unicodeScalars.append(Unicode.Scalar(byte))
      default: out += "%" + [byte].hex.uppercased()
      }
    }
    return out
  }
}
