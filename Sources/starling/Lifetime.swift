import ArgumentParser

/// `90d`, `24h`, `30m`, `10s`: a lifetime on the command line.
struct Lifetime: ExpressibleByArgument {
  var milliseconds: UInt64

  init?(argument: String) {
    guard let unit = argument.last, let count = UInt64(argument.dropLast()), count > 0,
      count < 100_000,
      let factor = ["d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000][unit] as UInt64?
    else { return nil }
    milliseconds = count * factor
  }
}
