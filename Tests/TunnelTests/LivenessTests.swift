import Base
import Testing

@testable import Simulator
@testable import Tunnel

@Suite struct LivenessTests {
  @Test(arguments: 0..<20 as Range<UInt64>) func deathIsNoticedWithinASecond(seed: UInt64) throws {
    var network = SimulatedNetwork.pair(seed: seed)
    network.run(for: .milliseconds(1_000 + Int64(seed) * 37))
    #expect(network.established)
    network.silent = [network.gateways[1].endpoint]
    network.run(for: .milliseconds(500))
    #expect(network.gateways[0].link(network.now)?.state == .established)
    network.run(for: .milliseconds(500))
    #expect(network.gateways[0].link(network.now)?.state == .unreachable)
    #expect(
      network.gateways[0].events.last(where: {
        if case .reachability = $0 { true } else { false }
      }) == .reachability(slice: "blue", cluster: "c1", reachable: false))
    network.silent = []
    network.run(for: .seconds(3))
    #expect(network.established)
  }

  /// Probes of one session, answered after 10 ms while `answers` says so.
  private func probe(
    _ liveness: inout Liveness, from start: Instant, for duration: Duration,
    answers: (Instant) -> Bool = { _ in true }
  ) -> (suspectAfter: Duration?, deadAfter: Duration?) {
    var now = start
    var due: [(at: Instant, number: UInt64)] = []
    var (suspectAfter, deadAfter): (Duration?, Duration?)
    while now < start + duration {
      for answer in due where answer.at <= now { _ = liveness.answered(answer.number, now: now) }
      due.removeAll { $0.at <= now }
      let tick = liveness.tick(now)
      if let number = tick.probe, answers(now) { due.append((now + .milliseconds(10), number)) }
      if tick.died { deadAfter = now - start }
      if liveness.suspect, suspectAfter == nil { suspectAfter = now - start }
      now = now + .milliseconds(1)
    }
    return (suspectAfter, deadAfter)
  }

  /// Flows that have another way leave before TCP's second retransmission, 600 ms after a crash.
  @Test(arguments: stride(from: 0, to: 300, by: 30).map { $0 })
  func silenceIsSuspectBeforeItIsDeath(offset: Int) throws {
    let start = Instant(nanoseconds: 1_000_000_000)
    var liveness = Liveness(timing: TunnelTiming(), now: start)
    liveness.begin(start, alive: true)
    let steady = probe(&liveness, from: start, for: .milliseconds(3_000 + offset))
    #expect(steady.suspectAfter == nil && steady.deadAfter == nil)
    let crash = start + .milliseconds(3_000 + offset)
    let silent = probe(&liveness, from: crash, for: .seconds(2)) { _ in false }
    let (suspect, dead) = (try #require(silent.suspectAfter), try #require(silent.deadAfter))
    #expect(suspect < .milliseconds(520) && dead > suspect && dead < .seconds(1))
    let back = crash + .seconds(2)
    let healed = probe(&liveness, from: back, for: .seconds(1))
    #expect(healed.deadAfter == nil && liveness.alive && !liveness.suspect)
  }

  /// One packet in twenty lost each way for ten minutes: never taken for dead.
  @Test(arguments: 0..<5 as Range<UInt64>) func lossIsNotDeath(seed: UInt64) throws {
    var network = SimulatedNetwork.pair(seed: seed, weather: .init(loss: 0.05))
    network.run(for: .seconds(600))
    let changes = network.gateways[0].events.filter {
      if case .reachability = $0 { true } else { false }
    }
    #expect(changes.count == 1)
    let status = try #require(network.gateways[0].link(network.now))
    let loss = try #require(status.loss)
    #expect(loss > 0.01 && loss < 0.25)
    #expect(status.roundTripTime == .milliseconds(10))
  }

  @Test func figures() throws {
    var network = SimulatedNetwork.pair(seed: 2, weather: .init(spread: .milliseconds(10)))
    network.run(for: .seconds(60))
    let status = try #require(network.gateways[0].link(network.now))
    let time = try #require(status.roundTripTime)
    #expect(time > .milliseconds(12) && time < .milliseconds(28))
    #expect(try #require(status.jitter) > .milliseconds(1))
    #expect(status.loss == 0)
  }
}
