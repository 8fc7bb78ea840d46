import Foundation
import Testing
import Tunnel

@testable import Runtime

@Suite struct TunnelTLSTests {
  /// A program ends with handshakes under way on other threads: what they use outlives `exit`.
  @Test func aProgramMayExitWithinAHandshake() async throws {
    await #expect(processExitsWith: .success) {
      let certificates = GatewayCertificates()
      let threads = 4
      let finished = DispatchSemaphore(value: 0)
      for _ in 0..<threads {
        let thread = Thread {
          while (try? Self.shakeHands(certificates)) == true { finished.signal() }
        }
        thread.start()
      }
      for _ in 0..<(10 * threads) { finished.wait() }
      exit(EXIT_SUCCESS)
    }
  }

  /// Whether both sides came to an end.
  private static func shakeHands(_ certificates: GatewayCertificates) throws -> Bool {
    let sides = try (0..<2).map { index in
      try TunnelTLS(
        role: index == 0 ? .client : .server, identity: certificates.leaf(index),
        certificateAuthority: certificates.authority(1 - index),
        spiffeURI: certificates.uri(1 - index)
      ).engine
    }
    var bytes: [UInt8] = []
    var finished: Set<Int> = []
    for round in 0..<8 {
      let progress = sides[round % 2].advance(bytes)
      if case .finished = progress.state { finished.insert(round % 2) }
      bytes = progress.output
    }
    return finished.count == 2
  }
}
