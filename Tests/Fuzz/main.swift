import Base
import Glibc

// starling-fuzz [--executions N] [--seed S] [TARGET ...]: feeds mutated inputs to every decoder of
// input from outside. A crash of this process is a finding; the input is in fuzz-<target>.bin.

struct Arguments {
  var executions = 5_000_000
  var seed: UInt64 = 1
  var targets: [String] = []

  init(_ arguments: [String]) throws(UsageError) {
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      switch argument {
      case "--executions":
        guard let text = rest.popFirst(), let value = Int(text), value > 0 else {
          throw UsageError(text: "--executions takes a number above 0")
        }
        executions = value
      case "--seed":
        guard let text = rest.popFirst(), let value = UInt64(text) else {
          throw UsageError(text: "--seed takes a whole number")
        }
        seed = value
      case let flag where flag.hasPrefix("-"): throw UsageError(text: "unknown option \(flag)")
      default: targets.append(argument)
      }
    }
  }
}

struct UsageError: Error {
  var text: String
}

func run() throws {
  let arguments = try Arguments(Array(CommandLine.arguments.dropFirst()))
  let all = allTargets()
  for name in arguments.targets where !all.contains(where: { $0.name == name }) {
    let names = all.map(\.name).joined(separator: ", ")
    throw UsageError(text: "no target '\(name)'; there are \(names)")
  }
  for target in all where arguments.targets.isEmpty || arguments.targets.contains(target.name) {
    let journal = try InputJournal(target: target.name)
    for input in target.corpus { target.run(input) }
    var mutator = Mutator(rng: SeededGenerator(seed: arguments.seed))
    let clock = ContinuousClock()
    let started = clock.now
    for _ in 0..<arguments.executions {
      let input = mutator.mutate(target.corpus)
      journal.note(input)
      target.run(input)
    }
    let seconds = max((clock.now - started).milliseconds / 1000, 0.001)
    journal.remove()
    print(
      "\(target.name): \(arguments.executions) executions, 0 crashes, "
        + "\(Int(Double(arguments.executions) / seconds)) a second, seed \(arguments.seed)")
    // Each target takes minutes: its line should be seen when it is done, in a file too.
    fflush(nil)
  }
}

do {
  try run()
} catch let error as UsageError {
  print("starling-fuzz: \(error.text)")
  exit(64)
}
