internal import Base

/// What one swarm seed rehearses: a configuration, and steps at their times. Written down before it is
/// run, so that a failing plan can be shrunk to the few steps that matter.
public struct Plan: Sendable {
  public struct Step: Sendable, CustomStringConvertible {
    public var at: Duration
    public var action: Action

    public var description: String { "\(Int(at.milliseconds)) ms: \(action)" }
  }

  /// Machines, admins and registers by number; numbers too large wrap.
  public enum Action: Sendable {
    // Faults.
    case crash(Int)
    case restart(Int)
    case backUp(Int)
    case restore(Int)
    case pause(Int, Duration)
    case leave(Int)
    /// Bit i: machine i is on the other side.
    case partition(UInt64)
    case cutOneWay(from: UInt64, to: UInt64)
    /// Others still reach both.
    case cutBothWays(UInt64, UInt64)
    case heal
    case loss(Double)
    case disorder(duplication: Double, reordering: Double)
    case clock(Int, offset: Duration)
    case fillDisk(Int)
    /// Of a cluster's API server; `nil`: it works again.
    case apiServer(Int, APIServerTrouble?)
    // Work.
    case write(admin: Int, register: Int, at: Int)
    case delete(admin: Int, register: Int, at: Int)
    case publish(Int, version: Int)
    /// A service of slice 0 or 1 has so many endpoints in this cluster; 0: it is not exported.
    case export(Int, slice: Int, endpoints: Int)
    case revoke(admin: Int, at: Int, keeps: Bool)
    /// Slice 0 or 1 gets these members, as bits.
    case apply(slice: Int, members: UInt64, admin: Int, at: Int)
    /// A further admin gets a grant.
    case grant(at: Int)
    /// A cluster's own grant is revoked.
    case expel(Int, at: Int)
    // Malice: from a member.
    case replay(by: Int)
    case forge(by: Int)
    case garble(by: Int)
    case flood(by: Int)
    /// Keeps what it has of the state to itself, until faults stop.
    case withhold(by: Int)
    /// An admin signs two values where there can be one, and tells one here, the other there.
    case equivocate(admin: Int, register: Int, at: Int, and: Int)
  }

  public var seed: UInt64
  public var machines: Int
  public var isWorldwide: Bool
  public var loss: Double
  public var clockDrift: Double
  public var steps: [Step]

  /// Everything is drawn from the seed.
  public init(seed: UInt64) {
    var rng = SeedStreams(seed: seed).stream("plan")
    self.seed = seed
    machines = 3 + rng.below(rng.happens(0.2) ? 14 : 6)
    isWorldwide = rng.happens(0.5)
    loss = rng.happens(0.5) ? rng.unit() * 0.2 : 0
    clockDrift = rng.happens(0.3) ? 1e-4 : 0
    let length = 20_000 + rng.below(60_000)
    // Each seed favours some kinds of trouble, or the mean of all would be rehearsed for ever.
    let malice = rng.happens(0.3) ? 0.2 : 0
    let faults = 0.1 + 0.5 * rng.unit()
    steps = []
    for _ in 0..<(10 + rng.below(50)) {
      let at = Duration.milliseconds(rng.below(length))
      let action =
        rng.happens(malice)
        ? Plan.malice(machines, &rng)
        : rng.happens(faults) ? Plan.fault(machines, &rng) : Plan.work(machines, &rng)
      steps.append(Step(at: at, action: action))
    }
    steps.sort { $0.at < $1.at }
  }

  private static func fault(_ machines: Int, _ rng: inout SeededGenerator) -> Action {
    let machine = rng.below(machines)
    switch rng.below(21) {
    case 0, 1: return .crash(machine)
    case 2, 3, 4: return .restart(machine)
    case 5: return .backUp(machine)
    case 6: return .restore(machine)
    case 7: return .pause(machine, .milliseconds(100 + rng.below(20_000)))
    case 8: return .leave(machine)
    case 9: return .partition(rng.next())
    case 10: return .cutOneWay(from: rng.next(), to: rng.next())
    case 20: return .cutBothWays(rng.next(), rng.next())
    case 11, 12: return .heal
    case 16, 17, 18: return .apiServer(machine, rng.pick(APIServerTrouble.allCases))
    case 19: return .apiServer(machine, nil)
    case 13: return .loss(rng.unit() * 0.4)
    case 14:
      return .disorder(duplication: rng.unit() * 0.3, reordering: rng.unit() * 0.3)
    default:
      return .clock(machine, offset: .milliseconds(rng.below(120_000) - 60_000))
    }
  }

  private static func work(_ machines: Int, _ rng: inout SeededGenerator) -> Action {
    let (admin, register, at) = (rng.below(4), rng.below(6), rng.below(machines))
    switch rng.below(30) {
    case 26...29: return .export(at, slice: rng.below(2), endpoints: rng.below(4))
    case 22...25:
      return .apply(slice: rng.below(2), members: rng.next(), admin: admin, at: at)
    case 20: return .grant(at: at)
    case 21: return rng.happens(0.3) ? .expel(rng.below(machines), at: at) : .grant(at: at)
    case 0: return .revoke(admin: 1 + rng.below(2), at: at, keeps: rng.happens(0.5))
    case 1...4: return .delete(admin: admin, register: register, at: at)
    case 5...7: return .publish(at, version: rng.below(1_000))
    default: return .write(admin: admin, register: register, at: at)
    }
  }

  private static func malice(_ machines: Int, _ rng: inout SeededGenerator) -> Action {
    switch rng.below(6) {
    case 0: .replay(by: rng.below(machines))
    case 1: .forge(by: rng.below(machines))
    case 2: .flood(by: rng.below(machines))
    case 3: .withhold(by: rng.below(machines))
    case 4:
      .equivocate(
        admin: rng.below(4), register: rng.below(6), at: rng.below(machines),
        and: rng.below(machines))
    default: .garble(by: rng.below(machines))
    }
  }
}
