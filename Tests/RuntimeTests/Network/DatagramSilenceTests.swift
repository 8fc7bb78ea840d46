import Base
import Testing

@testable import Runtime

@Suite struct DatagramSilenceTests {
  private let node = NodeID(words: (1, 2, 3, 4))

  private func at(_ milliseconds: Int64) -> Instant {
    Instant(nanoseconds: milliseconds * 1_000_000)
  }

  @Test func whoSaysNothingIsNotSilent() {
    var silence = DatagramSilence()
    #expect(!silence.isSilent(node, now: at(0)))
    silence.datagram(from: node, now: at(0))
    #expect(!silence.isSilent(node, now: at(9_000)))
    silence.datagram(from: node, now: at(10_000))
    silence.frame(from: node, now: at(10_100))
    #expect(!silence.isSilent(node, now: at(10_100)))
  }

  @Test func framesWithoutDatagramsAreSilenceUntilADatagramComes() {
    var silence = DatagramSilence()
    silence.frame(from: node, now: at(1_000))
    #expect(silence.silence(of: node, now: at(1_000)) == .zero)
    for second in 2...9 as ClosedRange<Int64> { silence.frame(from: node, now: at(second * 1_000)) }
    #expect(silence.silence(of: node, now: at(9_000)) == .seconds(8))
    silence.datagram(from: node, now: at(9_100))
    #expect(!silence.isSilent(node, now: at(9_200)))
    // Datagrams stop, frames go on.
    for second in 10...20 as ClosedRange<Int64> {
      silence.frame(from: node, now: at(second * 1_000))
    }
    #expect(silence.silence(of: node, now: at(20_000)) == .seconds(6))
  }

  @Test func withoutFramesThereIsNothingToUseInstead() {
    var silence = DatagramSilence()
    silence.frame(from: node, now: at(0))
    #expect(silence.isSilent(node, now: at(4_900)))
    #expect(!silence.isSilent(node, now: at(5_000)))
    silence.frame(from: node, now: at(60_000))
    #expect(silence.silence(of: node, now: at(60_000)) == .zero)
  }

  @Test func whoIsNoMemberAnyMoreIsForgotten() {
    var silence = DatagramSilence()
    silence.frame(from: node, now: at(0))
    silence.retain { _ in false }
    #expect(!silence.isSilent(node, now: at(0)))
  }
}
