import Foundation

/// One TCP connection through the tunnel from a to b, where everything is said back.
final class EchoedStream: Sendable {
  private let client: Int32
  private let listener: Int32

  init(_ pair: GatewayPair) throws {
    let port: UInt16 = 5_100
    let stream = Int32(SOCK_STREAM.rawValue)
    listener = try pair.lab.socket(
      pair.namespace(1), stream, bind: GatewayPair.innerB, port: port)
    listen(listener, 1)
    let accepting = listener
    Thread {
      let connection = accept(accepting, nil, nil)
      var buffer = [UInt8](repeating: 0, count: 65_536)
      while true {
        let count = recv(connection, &buffer, buffer.count, 0)
        guard count > 0 else { break }
        var sent = 0
        while sent < count {
          let written = buffer.withUnsafeBytes {
            send(
              connection, $0.baseAddress.map { $0 + sent }, count - sent,
              Int32(MSG_NOSIGNAL))
          }
          guard written > 0 else { break }
          sent += written
        }
      }
      Glibc.close(connection)
    }.start()
    client = try pair.lab.socket(pair.namespace(0), stream, bind: GatewayPair.innerA)
    var timeout = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    var target = sockaddr_in.make(GatewayPair.innerB, port)
    let descriptor = client
    let result = target.with { address, length in connect(descriptor, address, length) }
    guard result == 0 else { throw GatewayLab.Failure(description: "connect: \(errno)") }
  }

  /// Says so many bytes in pieces; true where each came back as it was.
  func exchange(bytes total: Int) throws -> Bool {
    var buffer = [UInt8](repeating: 0, count: 20_000)
    for start in stride(from: 0, to: total, by: buffer.count) {
      let piece = (0..<buffer.count).map { UInt8(truncatingIfNeeded: (start + $0) &* 31 >> 3) }
      guard send(client, piece, piece.count, Int32(MSG_NOSIGNAL)) == piece.count else {
        return false
      }
      guard recv(client, &buffer, buffer.count, Int32(MSG_WAITALL)) == piece.count,
        buffer == piece
      else { return false }
    }
    return true
  }

  func close() {
    Glibc.close(client)
    Glibc.close(listener)
  }
}
