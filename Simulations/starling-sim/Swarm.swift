import ArgumentParser
internal import Simulator

struct Swarm: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs many seeds, each with a configuration and faults of its own.",
    discussion: """
      After its faults each run has to converge. Prints the seeds that violate an invariant and exits \
      with 1 if there are any; `replay` shows one, `shrink` finds what matters in it.
      """)

  @Option(help: "How many seeds.") var seeds: UInt64 = 1_000
  @Option(help: "The first.") var from: UInt64 = 1
  @Option(help: "Stops after so many minutes.") var minutes: Double?
  @Flag(help: "Stops at the first seed that fails.") var untilFailure = false
  @Flag(help: "Prints one JSON object.") var json = false

  func run() throws {
    let clock = ContinuousClock()
    let began = clock.now
    var failed: [(seed: UInt64, violation: String)] = []
    var (done, simulated, events) = (UInt64(0), 0.0, 0)
    var trace = TraceHash()
    for seed in from..<from + seeds {
      if untilFailure, !failed.isEmpty { break }
      if let minutes, clock.now - began > .seconds(minutes * 60) { break }
      let outcome = Rehearsal.outcome(of: seed)
      done += 1
      simulated += outcome.simulatedSeconds
      events += outcome.events
      trace.add(UInt64(outcome.traceHash, radix: 16) ?? 0)
      if let violation = outcome.violations.first {
        failed.append((seed, violation))
        if !json { print("seed \(seed): \(violation)") }
      }
    }
    let seconds = Double((clock.now - began).components.seconds)
    if json {
      print(
        JSONValue.object([
          ("scenario", .text("swarm")), ("first_seed", .number(Double(from))),
          ("seeds", .number(Double(done))), ("violations", .number(Double(failed.count))),
          ("failed_seeds", .list(failed.map { .number(Double($0.seed)) })),
          ("violation_sentences", .list(failed.prefix(50).map { .text($0.violation) })),
          ("trace_hash", .text(trace.text)), ("simulated_seconds", .number(simulated)),
          ("real_seconds", .number(seconds)), ("events", .number(Double(events))),
        ]).text)
    } else {
      print("\(done) seeds from \(from), \(failed.count) failed, \(Int(simulated)) simulated s")
      print("trace \(trace.text)")
    }
    if !failed.isEmpty { throw ExitCode.failure }
  }
}

struct Replay: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Runs one swarm seed and tells all.")

  @Argument var seed: UInt64

  func run() throws {
    let plan = Plan(seed: seed)
    show(plan)
    let outcome = Rehearsal.outcome(of: seed)
    for violation in outcome.violations { print("violation \(violation)") }
    print("trace \(outcome.traceHash), \(outcome.events) inputs")
    if !outcome.violations.isEmpty { throw ExitCode.failure }
  }
}

struct Shrink: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Finds the steps without which a failing swarm seed does not fail.")

  @Argument var seed: UInt64

  func run() throws {
    let plan = Plan(seed: seed)
    guard let violation = Rehearsal(plan).run().violations.first else {
      let others = Rehearsal.outcome(of: seed).violations
      return print(others.first.map { "violation \($0)" } ?? "seed \(seed) does not fail")
    }
    let rule = rule(of: violation)
    let least = Shrinking.shrink(plan) { candidate in
      Rehearsal(candidate).run().violations.contains { self.rule(of: $0) == rule }
    }
    show(least)
    print("violation \(Rehearsal(least).run().violations.first ?? violation)")
  }

  /// The invariant's number: shrinking may move the time and the peers, not the rule.
  private func rule(of violation: String) -> Substring {
    violation.split(separator: ":").dropFirst().first ?? ""
  }
}

private func show(_ plan: Plan) {
  print(
    "seed \(plan.seed): \(plan.machines) peers, \(plan.isWorldwide ? "24 regions" : "a LAN"), "
      + "loss \(Int(plan.loss * 100)) %, clocks \(plan.clockDrift == 0 ? "true" : "drifting")")
  for step in plan.steps { print("  \(step)") }
}
