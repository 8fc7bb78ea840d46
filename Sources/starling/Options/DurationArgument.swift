import ArgumentParser
import Slices

/// `90d`, `1h30m`, `500ms` on the command line.
struct DurationArgument: ExpressibleByArgument {
  var span: TimeSpan

  init(span: TimeSpan) {
    self.span = span
  }

  init?(argument: String) {
    guard let span = TimeSpan(argument), span.milliseconds > 0 else { return nil }
    self.span = span
  }

  static func seconds(_ count: Int64) -> DurationArgument {
    DurationArgument(span: .seconds(count))
  }

  var duration: Duration { .milliseconds(span.milliseconds) }
  var milliseconds: UInt64 { UInt64(max(0, span.milliseconds)) }
  var defaultValueDescription: String { span.description }
}
