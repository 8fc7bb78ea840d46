internal import Synchronization

/// All metrics of a process, as a value that is handed around: nothing here is global.
///
/// Asking twice for one name gives the same metric. Prometheus' rules for names hold.
public final class MetricsRegistry: Sendable {
  enum Kind: String, Sendable { case counter, gauge, histogram }

  /// One value (or row of buckets) of a family.
  enum Series: Sendable {
    case counter(Counter)
    case gauge(Gauge)
    case histogram(Histogram)
  }

  struct Family: Sendable {
    var kind: Kind
    var help: String
    var labels: [String]
    var bounds: [Double]
    var series: [[String]: Series] = [:]
  }

  private struct State: Sendable {
    var families: [String: Family] = [:]
    var collectors: [@Sendable (MetricsRegistry) -> Void] = []
  }

  /// Label sets of one family. Further ones share a series whose labels are all `other`, so that
  /// input from outside can make neither memory nor answers grow.
  public let seriesLimit: Int
  private let state = Mutex(State())

  public init(seriesLimit: Int = 1000) {
    self.seriesLimit = seriesLimit
  }

  public static let overflowLabel = "other"

  // MARK: Making metrics

  public func counter(
    _ name: String, help: String, labels: KeyValuePairs<String, String> = [:]
  ) -> Counter {
    let series = series(name, .counter, help, labels) { _ in .counter(Counter()) }
    // A name that another kind has is a mistake of the program: it loses the metric, not the process.
    if case .counter(let counter) = series { return counter }
    return Counter()
  }

  public func gauge(
    _ name: String, help: String, labels: KeyValuePairs<String, String> = [:]
  ) -> Gauge {
    let series = series(name, .gauge, help, labels) { _ in .gauge(Gauge()) }
    if case .gauge(let gauge) = series { return gauge }
    return Gauge()
  }

  /// A counter that is kept elsewhere, or that counts in fractions: whoever sets it never lowers it.
  public func total(
    _ name: String, help: String, labels: KeyValuePairs<String, String> = [:]
  ) -> Gauge {
    let series = series(name, .counter, help, labels) { _ in .gauge(Gauge()) }
    if case .gauge(let gauge) = series { return gauge }
    return Gauge()
  }

  /// `bounds` ascend; those of the first call hold for the whole family.
  public func histogram(
    _ name: String, help: String, bounds: [Double] = Histogram.latencyBounds,
    labels: KeyValuePairs<String, String> = [:]
  ) -> Histogram {
    let series = series(name, .histogram, help, labels, bounds: bounds) {
      .histogram(Histogram(bounds: $0))
    }
    if case .histogram(let histogram) = series { return histogram }
    return Histogram(bounds: bounds)
  }

  private func series(
    _ name: String, _ kind: Kind, _ help: String, _ labels: KeyValuePairs<String, String>,
    bounds: [Double] = [], make: ([Double]) -> Series
  ) -> Series? {
    let names = labels.map(\.key)
    precondition(
      Self.isName(name) && names.allSatisfy { Self.isName($0, colons: false) },
      "\(name): not a metric name that Prometheus takes")
    return state.withLock { state in
      var family =
        state.families[name] ?? Family(kind: kind, help: help, labels: names, bounds: bounds)
      guard family.kind == kind, family.labels == names else { return nil }
      var values = labels.map(\.value)
      if let known = family.series[values] { return known }
      if family.series.count >= seriesLimit {
        values = names.map { _ in Self.overflowLabel }
        if let known = family.series[values] { return known }
      }
      let made = make(family.bounds)
      family.series[values] = made
      state.families[name] = family
      return made
    }
  }

  /// Forgets one label set: of a slice or a cluster that is gone.
  public func remove(_ name: String, labels: KeyValuePairs<String, String>) {
    state.withLock { state in
      state.families[name]?.series[labels.map(\.value)] = nil
    }
  }

  /// Called before each exposition, to set what is read rather than counted.
  public func collect(_ collector: @escaping @Sendable (MetricsRegistry) -> Void) {
    state.withLock { $0.collectors.append(collector) }
  }

  // MARK: Reading them

  /// All families, ascending by name, after the collectors have run.
  func families() -> [(name: String, family: Family)] {
    for collector in state.withLock({ $0.collectors }) { collector(self) }
    return state.withLock { state in
      state.families.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
  }

  /// `[a-zA-Z_:][a-zA-Z0-9_:]*`; labels without colons.
  static func isName(_ text: String, colons: Bool = true) -> Bool {
    guard let first = text.utf8.first, !(48...57).contains(first) else { return false }
    return text.utf8.allSatisfy {
      (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == 95
        || (colons && $0 == 58)
    }
  }
}
