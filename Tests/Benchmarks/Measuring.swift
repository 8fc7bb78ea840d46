import Base
import Glibc

/// What the process has used so far.
struct Usage {
  var wall: ContinuousClock.Instant
  /// User and system time of all threads.
  var cpuSeconds: Double
  /// The most memory that was ever resident.
  var peakMegabytes: Double

  static var now: Usage {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    return Usage(
      wall: ContinuousClock.now, cpuSeconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
      peakMegabytes: Double(usage.ru_maxrss) * 1_024 / 1e6)
  }

  func wallSeconds(since earlier: Usage) -> Double {
    (wall - earlier.wall).milliseconds / 1_000
  }
}

/// One JSON object of numbers, in the order in which they were found.
struct Figures {
  private var fields: [(name: String, value: Double)] = []

  mutating func add(_ name: String, _ value: Double) {
    fields.append((name, value))
  }

  mutating func add(_ name: String, _ value: Int) {
    add(name, Double(value))
  }

  var json: String {
    let members = fields.map { name, value in
      let rounded = (value * 1_000).rounded() / 1_000
      let text = rounded == rounded.rounded() ? "\(Int(rounded))" : "\(rounded)"
      return "\"\(name)\": \(text)"
    }
    return "{" + members.joined(separator: ", ") + "}"
  }
}
