import Foundation

// starling-bench state [COUNT]: how fast the state of COUNT changesets (100,000) is rebuilt, filled and
// compared. Prints one JSON object; what it is doing goes to standard error.

do {
  let arguments = Array(CommandLine.arguments.dropFirst())
  switch arguments.first {
  case "state":
    let count = arguments.count > 1 ? Int(arguments[1]) : 100_000
    guard let count, (1_000...1_000_000).contains(count), arguments.count <= 2 else {
      throw BenchmarkError("COUNT is a number from 1000 to 1000000")
    }
    try StateBenchmark(count: count).run()
  case ColdStart.command where arguments.count == 2:
    try ColdStart.measure(in: arguments[1])
  default:
    throw BenchmarkError("usage: starling-bench state [COUNT]")
  }
} catch let error as BenchmarkError {
  note("starling-bench: \(error.text)")
  exit(64)
}

struct BenchmarkError: Error {
  var text: String

  init(_ text: String) {
    self.text = text
  }
}

func note(_ text: String) {
  FileHandle.standardError.write(Data((text + "\n").utf8))
}
