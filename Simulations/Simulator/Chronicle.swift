public import Base
internal import Membership
public import Peer
internal import Replication

/// What a report draws over the time of a run. Looking at all of it takes long, so it observes only
/// runs that somebody wants a report of.
public final class Chronicle: Observer {
  /// How far the views of running peers are from one another and from the truth, as shares.
  public struct Sample: Sendable {
    public var at: Instant
    /// Peers that do not see the members, or the registers, that most see.
    public var memberDissent: Double
    public var registerDissent: Double
    /// Of who runs and can be reached: held absent. Of who does not: held present.
    public var missed: Double
    public var stale: Double
  }

  public private(set) var samples: [Sample] = []
  /// Bytes that all machines sent, and the most that one did in a second.
  public private(set) var bytes = Stretches(.sum)
  public private(set) var mostBytes = Stretches(.greatest)
  /// Changes of mind: to suspect or dead, and back.
  public private(set) var doubts = Stretches(.sum)
  public private(set) var returns = Stretches(.sum)

  private var nextSample = Instant.zero
  private var second: Int64 = 0
  private var sentBy: [Int: Int] = [:]
  /// Whose views of members are compared with the truth.
  private static let witnesses = 32
  private static let sampleLimit = 4_096

  public init() {}

  public func handled(
    _ input: Peer.Input, _ effects: [Peer.Effect], at index: Int, _ simulation: Simulation
  ) {
    if simulation.now >= nextSample { sample(simulation) }
    for case .event(.membership(.state(_, let from, let to))) in effects where from != .unknown {
      if to == .suspect || to == .dead {
        doubts.add(1, at: simulation.now)
      } else {
        returns.add(1, at: simulation.now)
      }
    }
  }

  public func sent(
    _ messages: [PeerMessage], bytes size: Int, from: Int, to: Int, isStream: Bool,
    _ simulation: Simulation
  ) {
    bytes.add(Double(size), at: simulation.now)
    let now = simulation.now.nanoseconds / 1_000_000_000
    if now != second { (second, sentBy) = (now, [:]) }
    sentBy[from, default: 0] += size
    mostBytes.add(Double(sentBy[from, default: 0]), at: simulation.now)
  }

  /// Every second, less often where many are to be looked at.
  private func sample(_ simulation: Simulation) {
    nextSample = simulation.now + .seconds(1 + simulation.count / 200)
    doubts.add(0, at: simulation.now)
    returns.add(0, at: simulation.now)
    var members: [UInt32: Int] = [:]
    var registers: [SetDigest: Int] = [:]
    let running = simulation.running
    for index in running {
      guard let process = simulation.machines[index].process else { continue }
      let seen = process.look { ($0.membership.viewHash, $0.state.digest(.clusterset)) }
      members[seen.0, default: 0] += 1
      registers[seen.1, default: 0] += 1
    }
    func dissent(_ most: Int?) -> Double {
      1 - Double(most ?? running.count) / Double(max(running.count, 1))
    }
    let (missed, stale) = errors(simulation, running)
    samples.append(
      Sample(
        at: simulation.now, memberDissent: dissent(members.values.max()),
        registerDissent: dissent(registers.values.max()), missed: missed, stale: stale))
    guard samples.count > Self.sampleLimit else { return }
    // A run of days is thinned out.
    samples = samples.enumerated().filter { $0.offset.isMultiple(of: 2) }.map(\.element)
  }

  private func errors(_ simulation: Simulation, _ running: [Int]) -> (missed: Double, stale: Double)
  {
    var (there, missed, gone, stale) = (0, 0, 0, 0)
    let step = max(running.count / Self.witnesses, 1)
    for witness in stride(from: 0, to: running.count, by: step).map({ running[$0] }) {
      guard let process = simulation.machines[witness].process else { continue }
      for subject in simulation.machines where subject.index != witness && subject.hasStarted {
        let isHeld = process.look { $0.membership.state(of: subject.id).isPresent }
        if simulation.areConnected(witness, subject.index) {
          there += 1
          missed += isHeld ? 0 : 1
        } else {
          gone += 1
          stale += isHeld ? 1 : 0
        }
      }
    }
    return (Double(missed) / Double(max(there, 1)), Double(stale) / Double(max(gone, 1)))
  }
}

/// One number for each stretch of a run: seconds at first, twice as long whenever there are too many.
public struct Stretches: Sendable {
  public enum Kind: Sendable { case sum, greatest }

  private let kind: Kind
  private var seconds = 1
  private var values: [Double] = []
  private static let limit = 2_048

  init(_ kind: Kind) { self.kind = kind }

  mutating func add(_ value: Double, at instant: Instant) {
    let second = Int(instant.nanoseconds / 1_000_000_000)
    while second / seconds >= Self.limit { double() }
    while values.count <= second / seconds { values.append(0) }
    values[second / seconds] = join(values[second / seconds], value)
  }

  private mutating func double() {
    seconds *= 2
    values = stride(from: 0, to: values.count, by: 2).map {
      $0 + 1 < values.count ? join(values[$0], values[$0 + 1]) : values[$0]
    }
  }

  private func join(_ a: Double, _ b: Double) -> Double { kind == .sum ? a + b : max(a, b) }

  /// Seconds and what there was: a sum for each second, or the greatest value.
  public var points: [(Double, Double)] {
    values.enumerated().map {
      (Double($0.offset * seconds), kind == .sum ? $0.element / Double(seconds) : $0.element)
    }
  }
}
