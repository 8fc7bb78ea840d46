import Base
import Testing

@testable import Membership

/// One core, fed by hand: what changes its mind and what does not.
@Suite struct EvidenceTests {
  /// Ten members; the core under test is the first and has heard of all.
  struct Bench {
    let network: Network
    var core: Membership
    var time: Instant = .zero
    var events: [Membership.Event] = []
    var sent: [(to: NodeID, messages: [Membership.Message])] = []

    init(members: Int = 10, aware: Bool = true) {
      var quiet = Membership.Configuration()
      // Its own probes would interfere.
      quiet.probePeriod = .seconds(100_000)
      quiet.confirmersPerSide = 0
      quiet.healingPeriod = .seconds(100_000)
      network = Network(nodes: members, seed: 5, configuration: quiet)
      core = network.makeCore(0, bootEpoch: 1)
      give(.admitted(network.admitted))
      if aware {
        for i in 1..<members { give(from: i, [.evidence([.record(network.nodes[i].record)])]) }
      }
      clear()
    }

    mutating func clear() {
      events.removeAll()
      sent.removeAll()
    }

    mutating func give(_ input: Membership.Input) {
      var effects: [Membership.Effect] = []
      core.handle(
        input, now: Now(instant: time, wallMilliseconds: 1_700_000_000_000), effects: &effects)
      for effect in effects {
        switch effect {
        case .event(let event): events.append(event)
        case .send(let to, let messages): sent.append((to, messages))
        case .sendStream(let to, let message): sent.append((to, [message]))
        default: break
        }
      }
    }

    mutating func give(from i: Int, _ messages: [Membership.Message]) {
      give(.messages(from: network.id(i), messages))
    }

    /// Lets time pass, waking the core as it asks.
    mutating func wait(_ duration: Duration) {
      let end = time + duration
      while core.nextDeadline <= end {
        time = max(time, core.nextDeadline)
        give(.tick)
      }
      time = end
    }

    func record(
      of i: Int, _ epoch: UInt64, _ counter: UInt32,
      presence: MemberRecord.Presence = .alive, signedBy signer: Int? = nil,
      clusterSet: Digest = Network.clusterSet
    ) -> Membership.Evidence {
      .record(
        MemberRecord(
          subject: network.id(i), incarnation: Incarnation(bootEpoch: epoch, counter: counter),
          presence: presence, addresses: [], clusterSet: clusterSet,
          signer: network.signers[signer ?? i]))
    }

    func accusation(
      of i: Int, by accuser: Int, _ epoch: UInt64 = 1, _ counter: UInt32 = 0,
      signedBy signer: Int? = nil, clusterSet: Digest = Network.clusterSet
    ) -> Membership.Evidence {
      .accusation(
        Accusation(
          subject: network.id(i), incarnation: Incarnation(bootEpoch: epoch, counter: counter),
          accuser: network.id(accuser), clusterSet: clusterSet,
          signer: network.signers[signer ?? accuser]))
    }

    func state(_ i: Int) -> MemberState { core.state(of: network.id(i)) }

    var rejections: [Membership.Rejection] {
      events.compactMap { if case .rejected(_, let reason) = $0 { reason } else { nil } }
    }
  }

  @Test func anAccusationIsRefutedAtOnce() {
    var bench = Bench()
    let before = bench.core.record.incarnation
    bench.give(from: 3, [.evidence([bench.accusation(of: 0, by: 4)])])
    #expect(bench.core.record.incarnation > before)
    #expect(bench.sent.contains { $0.to == bench.network.id(3) })
    #expect(bench.sent.contains { $0.to == bench.network.id(4) }, "the accuser hears it first")
    // The same again is answered with the refutation, and raises nothing.
    let raised = bench.core.record.incarnation
    bench.clear()
    bench.give(from: 3, [.evidence([bench.accusation(of: 0, by: 4)])])
    #expect(bench.core.record.incarnation == raised)
    #expect(bench.sent.count == 1)
  }

  @Test func aRefutationEndsASuspicion() {
    var bench = Bench()
    bench.give(from: 3, [.evidence([bench.accusation(of: 5, by: 3)])])
    #expect(bench.state(5) == .suspect)
    bench.give(from: 4, [.evidence([bench.record(of: 5, 1, 1)])])
    #expect(bench.state(5) == .alive)
    bench.give(from: 3, [.evidence([bench.accusation(of: 5, by: 3)])])
    #expect(bench.state(5) == .alive)
    #expect(bench.rejections == [.stale])
    bench.wait(.seconds(30))
    #expect(bench.state(5) == .alive)
  }

  @Test func oneOrTwoAccusersEvictNobodyBeforeTheMaximum() {
    var bench = Bench()
    for _ in 0..<20 {
      bench.give(from: 3, [.evidence([bench.accusation(of: 5, by: 3)])])
      bench.give(from: 3, [.evidence([bench.accusation(of: 5, by: 4)])])
    }
    bench.wait(.milliseconds(9_900))
    #expect(bench.state(5) == .suspect)
    bench.wait(.milliseconds(200))
    #expect(bench.state(5) == .dead)
  }

  @Test func aSuspectThatSaysNothingIsSilentLongBeforeItIsEvicted() {
    var bench = Bench()
    func isSilent(_ i: Int) -> Bool {
      bench.core.isSilent(bench.network.id(i), now: bench.time)
    }
    bench.give(from: 3, [.evidence([bench.accusation(of: 5, by: 3)])])
    bench.give(from: 3, [.evidence([bench.accusation(of: 6, by: 3)])])
    bench.wait(.milliseconds(1_900))
    #expect(!isSilent(5))
    bench.give(.heard(bench.network.id(6)))
    bench.wait(.milliseconds(200))
    #expect(bench.state(5) == .suspect)
    #expect(isSilent(5) && !isSilent(6))
    #expect(!isSilent(4), "nobody accuses it, though it says nothing either")
    // Its first word ends it, before any refutation does.
    bench.give(.heard(bench.network.id(5)))
    #expect(bench.state(5) == .suspect)
    #expect(!isSilent(5))
  }

  @Test func moreAccusersShortenIt() {
    var bench = Bench()
    for i in 1...3 { bench.give(from: 1, [.evidence([bench.accusation(of: 5, by: i)])]) }
    bench.wait(.milliseconds(2_100))
    #expect(bench.state(5) == .suspect)
    bench.wait(.seconds(4))
    #expect(bench.state(5) == .dead)

    bench = Bench()
    for i in 1...4 { bench.give(from: 1, [.evidence([bench.accusation(of: 5, by: i)])]) }
    bench.give(from: 1, [.evidence([bench.accusation(of: 5, by: 6)])])
    bench.wait(.milliseconds(2_100))
    #expect(bench.state(5) == .dead)
  }

  @Test func whoSpeaksToUsIsNotEvicted() {
    var bench = Bench()
    for i in [1, 2, 3, 4, 6] {
      bench.give(from: 1, [.evidence([bench.accusation(of: 5, by: i)])])
    }
    bench.time = bench.time + .seconds(1)
    bench.give(.heard(bench.network.id(5)))
    bench.wait(.seconds(8))
    #expect(bench.state(5) == .suspect)
    bench.wait(.seconds(10))
    #expect(bench.state(5) == .dead, "silence for the maximum")
  }

  @Test func nothingOldResurrects() {
    var bench = Bench()
    bench.give(from: 5, [.evidence([bench.record(of: 5, 2, 7)])])
    for i in [1, 2, 3, 4, 6] {
      bench.give(from: 1, [.evidence([bench.accusation(of: 5, by: i, 2, 7)])])
    }
    bench.wait(.seconds(3))
    #expect(bench.state(5) == .dead)
    bench.clear()
    for stale in [(1, 0), (1, 9), (2, 6)] as [(UInt64, UInt32)] {
      bench.give(from: 6, [.evidence([bench.record(of: 5, stale.0, stale.1)])])
    }
    #expect(bench.rejections == [.stale, .stale, .stale])
    bench.give(from: 6, [.evidence([bench.record(of: 5, 2, 7)])])
    #expect(bench.state(5) == .dead)
    bench.give(from: 6, [.evidence([bench.record(of: 5, 2, 8)])])
    #expect(bench.state(5) == .alive)
  }

  @Test func forgedEvidenceChangesNothing() {
    var bench = Bench()
    let view = bench.core.viewHash
    let other = Digest(words: (9, 9, 9, 9))
    let forged: [(Membership.Evidence, Membership.Rejection)] = [
      (bench.accusation(of: 5, by: 4, signedBy: 3), .badSignature),
      (bench.accusation(of: 5, by: 4, clusterSet: other), .badSignature),
      (bench.accusation(of: 5, by: 5), .accusesItself),
      (bench.accusation(of: 5, by: 4, 1, 1), .unknownIncarnation),
      (bench.accusation(of: 5, by: 4, 0, 0), .stale),
      (bench.record(of: 5, 9, 0, signedBy: 3), .badSignature),
      (bench.record(of: 5, 9, 0, clusterSet: other), .badSignature),
      (bench.record(of: 5, 9, 0, presence: .left, signedBy: 3), .badSignature),
      (bench.record(of: 5, 0, 0), .stale),
      (bench.record(of: 0, 9, 0, signedBy: 3), .badSignature),
      (bench.accusation(of: 0, by: 4, signedBy: 3), .badSignature),
      (bench.accusation(of: 0, by: 4, 7, 7), .unknownIncarnation),
    ]
    for (evidence, reason) in forged {
      bench.clear()
      bench.give(from: 3, [.evidence([evidence])])
      #expect(bench.rejections == [reason])
    }
    bench.wait(.seconds(60))
    #expect(bench.core.viewHash == view)
    #expect(bench.core.count(.alive) == 9)
    #expect(bench.core.record.incarnation == Incarnation(bootEpoch: 1, counter: 0))
  }

  @Test func strangersAreNotHeard() {
    var bench = Bench()
    let stranger = NodeID(words: (7, 7, 7, 7))
    bench.give(.messages(from: stranger, [.ping(.init(sequence: 0, view: 0))]))
    #expect(bench.rejections == [.senderNotAdmitted])
    #expect(bench.sent.isEmpty)
  }

  @Test func evidenceAboutThoseNotYetAdmittedWaits() {
    var bench = Bench(aware: false)
    let late = bench.network.id(9)
    bench.give(.expelled([late]))
    for i in 1..<9 {
      bench.give(from: i, [.evidence([.record(bench.network.nodes[i].record)])])
    }
    bench.clear()
    bench.give(from: 3, [.evidence([.record(bench.network.nodes[9].record)])])
    bench.give(from: 3, [.evidence([bench.accusation(of: 9, by: 4)])])
    #expect(bench.rejections == [.unknownSubject, .unknownSubject])
    bench.wait(.seconds(1))
    let relayed = bench.sent.flatMap(\.messages).contains { message in
      if case .evidence(let evidence) = message {
        evidence.contains { if case .accusation = $0 { $0.subject == late } else { false } }
      } else {
        false
      }
    }
    #expect(relayed, "others may know it")
    bench.give(.admitted([bench.network.admitted[9]]))
    #expect(bench.state(9) == .suspect)
  }

  @Test func whatIsHeldIsBounded() {
    var bench = Bench()
    for i in 0..<(2 * Membership.heldLimit) {
      let stranger = Accusation(
        subject: NodeID(words: (UInt64(i), 1, 1, 1)),
        incarnation: Incarnation(bootEpoch: 1, counter: 0), accuser: bench.network.id(3),
        clusterSet: Network.clusterSet, signer: bench.network.signers[3])
      bench.give(from: 3, [.evidence([.accusation(stranger)])])
    }
    #expect(bench.core.held.count == Membership.heldLimit)
    #expect(bench.core.broadcasts.count <= Broadcasts.limit)
  }

  @Test func messagesAboveTheirLimitsAreRefused() {
    var bench = Bench()
    let one = bench.accusation(of: 5, by: 3)
    let many = [Membership.Evidence](repeating: one, count: Membership.evidenceLimit + 1)
    bench.give(from: 3, [.evidence(many)])
    #expect(bench.state(5) == .alive)
    bench.give(from: 3, [.syncRequest(buckets: [1, 2, 3])])
    bench.give(
      from: 3,
      [.syncWant(prefixes: [UInt64](repeating: 1, count: Membership.wantLimit + 1))])
    let attachment = [UInt8](repeating: 1, count: Membership.attachmentLimit + 1)
    bench.give(from: 3, [.ping(.init(sequence: 8, view: 0, attachment: attachment))])
    #expect(bench.rejections == [.overLimit, .overLimit, .overLimit, .overLimit])
    bench.clear()
    for i in 0...UInt32(Relay.limit) {
      bench.give(from: 3, [.probeRequest(sequence: i, target: bench.network.id(4))])
    }
    #expect(bench.rejections == [.tooBusy])
  }

  @Test func answersToNothingAreIgnored() {
    var bench = Bench()
    bench.give(
      from: 3, [.ack(.init(sequence: 8, view: bench.core.viewHash, coordinate: .origin))])
    bench.give(from: 3, [.relayedAck(sequence: 8), .nack(sequence: 8)])
    let summary = Membership.SyncSummary(buckets: .max, members: [])
    bench.give(from: 3, [.syncSummary(summary)])
    #expect(bench.rejections == [.unexpectedAnswer, .unexpectedAnswer])
    #expect(bench.core.coordinate == .origin)
    #expect(bench.core.rtt(to: bench.network.id(3)) == nil)
    #expect(bench.sent.isEmpty)
  }

  @Test func attachmentsAreDelivered() {
    var bench = Bench()
    bench.give(from: 3, [.ping(.init(sequence: 8, view: bench.core.viewHash, attachment: [1, 2]))])
    let got = bench.events.contains { event in
      if case .attachment(let from, let bytes) = event {
        from == bench.network.id(3) && bytes == [1, 2]
      } else {
        false
      }
    }
    #expect(got)
  }

  @Test func aLiarIsBoundedAndDegradesNobodyAlone() {
    var bench = Bench()
    for round in 0..<200 as Range<UInt32> {
      bench.give(from: 3, [.evidence([bench.accusation(of: 5, by: 3, 1, round)])])
      bench.give(from: 5, [.evidence([bench.record(of: 5, 1, round + 1)])])
    }
    #expect(bench.state(5) == .alive)
    #expect(bench.rejections.count { $0 == .tooBusy } == 200 - 64)
  }

  @Test func returningAgainAndAgainIsDamped() {
    var bench = Bench()
    var counter: UInt32 = 0
    func comeAndGo(_ bench: inout Bench) {
      for i in [1, 2, 3, 4, 6] {
        bench.give(from: 1, [.evidence([bench.accusation(of: 5, by: i, 1, counter)])])
      }
      bench.wait(.seconds(11))
      #expect(bench.state(5) == .dead)
      counter += 1
      bench.give(from: 1, [.evidence([bench.record(of: 5, 1, counter)])])
    }
    comeAndGo(&bench)
    #expect(bench.state(5) == .alive, "the first return is free")
    for backoff in [10, 20, 40, 80, 160, 300, 300] {
      comeAndGo(&bench)
      #expect(bench.state(5) == .degraded)
      bench.wait(.seconds(backoff - 2))
      #expect(bench.state(5) == .degraded)
      bench.wait(.seconds(4))
      #expect(bench.state(5) == .alive)
    }
  }

  @Test func theExpelledAreForgotten() {
    var bench = Bench()
    bench.give(from: 3, [.evidence([bench.accusation(of: 5, by: 3)])])
    bench.give(.expelled([bench.network.id(5)]))
    #expect(bench.core.member(bench.network.id(5)) == nil)
    #expect(bench.core.cases.isEmpty)
    bench.give(from: 5, [.ping(.init(sequence: 8, view: 0))])
    #expect(bench.rejections == [.senderNotAdmitted])
    bench.wait(.seconds(60))
    #expect(bench.core.members.count == 8)
    bench.give(.admitted([bench.network.admitted[5]]))
    #expect(bench.state(5) == .unknown)
  }

  /// Who is accused refutes nobody that it does not know, so a word that only the expelled gave
  /// would hold a member dead for ever.
  @Test func whatTheExpelledSaidDoesNotStand() {
    var bench = Bench()
    bench.give(from: 3, [.evidence([bench.accusation(of: 5, by: 3)])])
    bench.give(from: 3, [.evidence([bench.accusation(of: 6, by: 3)])])
    bench.give(from: 3, [.evidence([bench.accusation(of: 6, by: 4)])])
    bench.give(.expelled([bench.network.id(3)]))
    #expect(bench.state(5) == .alive, "nobody else suspects it")
    #expect(bench.state(6) == .suspect)
    #expect(bench.core.cases.flatMap(\.accusations).map(\.accuser) == [bench.network.id(4)])
  }

  @Test func whoTheExpelledEvictedCanRefute() {
    var bench = Bench()
    bench.give(from: 3, [.evidence([bench.accusation(of: 5, by: 3)])])
    bench.wait(.seconds(11))
    #expect(bench.state(5) == .dead)
    bench.give(.expelled([bench.network.id(3)]))
    #expect(bench.state(5) == .dead)
    // It knows whom we know: what we show it, it can answer.
    bench.clear()
    bench.give(from: 5, [.ping(.init(sequence: 8, view: 0))])
    let shown = bench.sent.flatMap(\.messages).flatMap { message -> [Membership.Evidence] in
      if case .evidence(let evidence) = message { evidence } else { [] }
    }
    let accusers = shown.compactMap { evidence -> NodeID? in
      if case .accusation(let accusation) = evidence { accusation.accuser } else { nil }
    }
    #expect(accusers == [bench.core.id])
  }
}
