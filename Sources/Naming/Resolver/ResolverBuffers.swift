public import Base

extension Resolver {
  /// The reply in an array of its own, empty where there is none: for tests and tools.
  public func answer(
    _ query: [UInt8], from source: IPAddress, over transport: Transport = .udp
  ) -> [UInt8] {
    var out = [UInt8](repeating: 0, count: transport == .udp ? 4096 : 65_535)
    var span = out.mutableSpan
    let outcome = answer(query.span, from: source, over: transport, into: &span)
    return Array(out.prefix(outcome.length))
  }

  /// For buffers that a system call filled and another will send.
  public func answer(
    _ query: UnsafeRawBufferPointer, from source: IPAddress, over transport: Transport,
    into out: UnsafeMutableRawBufferPointer
  ) -> Outcome {
    out.withMemoryRebound(to: UInt8.self) { out in
      query.withMemoryRebound(to: UInt8.self) { query in
        var span = out.mutableSpan
        return answer(query.span, from: source, over: transport, into: &span)
      }
    }
  }
}
