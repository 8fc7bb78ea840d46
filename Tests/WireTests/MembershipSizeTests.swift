import Membership
import Peer
import Testing
import Wire

/// The simulator counts bytes by `encodedSize`, without a codec.
@Suite struct MembershipSizeTests {
  @Test func theCoreKnowsTheSizeOfWhatItSends() {
    let messages = EnvelopeCodecTests.samples.compactMap { message in
      if case .membership(let membership) = message { membership } else { nil }
    }
    #expect(messages.count > 5)
    for message in messages {
      let bytes = EnvelopeCodec.encode([.membership(message)])
      #expect(message.encodedSize == bytes.count, "\(message)")
    }
  }
}
