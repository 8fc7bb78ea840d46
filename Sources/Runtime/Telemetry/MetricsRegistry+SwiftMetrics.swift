public import CoreMetrics

/// Lets libraries that speak swift-metrics report here: an executable may pass the registry to
/// `MetricsSystem.bootstrap`. Labels become names that Prometheus takes.
extension MetricsRegistry: MetricsFactory {
  public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
    let (name, family) = Self.translated(label, dimensions)
    return CounterAdapter(counter: labelled(name, family) { counter($0, help: label, labels: $1) })
  }

  public func makeFloatingPointCounter(
    label: String, dimensions: [(String, String)]
  ) -> any FloatingPointCounterHandler {
    let (name, family) = Self.translated(label, dimensions)
    return GaugeAdapter(gauge: labelled(name, family) { gauge($0, help: label, labels: $1) })
  }

  public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
    let (name, family) = Self.translated(label, dimensions)
    return GaugeAdapter(gauge: labelled(name, family) { gauge($0, help: label, labels: $1) })
  }

  public func makeRecorder(
    label: String, dimensions: [(String, String)], aggregate: Bool
  ) -> any RecorderHandler {
    guard aggregate else {
      let (name, family) = Self.translated(label, dimensions)
      return GaugeAdapter(gauge: labelled(name, family) { gauge($0, help: label, labels: $1) })
    }
    return HistogramAdapter(histogram: histogram(label, dimensions))
  }

  public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
    HistogramAdapter(histogram: histogram(label, dimensions))
  }

  public func destroyCounter(_ handler: any CounterHandler) {}
  public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
  public func destroyMeter(_ handler: any MeterHandler) {}
  public func destroyRecorder(_ handler: any RecorderHandler) {}
  public func destroyTimer(_ handler: any TimerHandler) {}

  private func histogram(_ label: String, _ dimensions: [(String, String)]) -> Histogram {
    let (name, family) = Self.translated(label, dimensions)
    return labelled(name, family) { histogram($0, help: label, labels: $1) }
  }

  /// One label, `dimensions`, holds all of a library's dimensions: its metrics may come with
  /// different ones each time, which Prometheus' families do not allow.
  private static func translated(
    _ label: String, _ dimensions: [(String, String)]
  ) -> (String, String) {
    let name = String(
      label.unicodeScalars.map { scalar -> Character in
        isName("_\(scalar)") ? Character(scalar) : "_"
      })
    let values = dimensions.map { "\($0.0)=\($0.1)" }.sorted()
    return (isName(name) ? name : "_" + name, values.joined(separator: ","))
  }

  private func labelled<Metric>(
    _ name: String, _ dimensions: String,
    _ make: (String, KeyValuePairs<String, String>) -> Metric
  ) -> Metric {
    make(name, ["dimensions": dimensions])
  }
}

private final class CounterAdapter: CounterHandler {
  let counter: Counter
  init(counter: Counter) { self.counter = counter }
  func increment(by amount: Int64) { counter.increment(by: UInt64(max(0, amount))) }
  /// Prometheus' counters never fall while the process lives.
  func reset() {}
}

private final class GaugeAdapter: MeterHandler, RecorderHandler, FloatingPointCounterHandler {
  let gauge: Gauge
  init(gauge: Gauge) { self.gauge = gauge }
  func set(_ value: Int64) { gauge.set(Double(value)) }
  func set(_ value: Double) { gauge.set(value) }
  func increment(by amount: Double) { gauge.add(amount) }
  func decrement(by amount: Double) { gauge.add(-amount) }
  func record(_ value: Int64) { gauge.set(Double(value)) }
  func record(_ value: Double) { gauge.set(value) }
  func reset() {}
}

private final class HistogramAdapter: RecorderHandler, TimerHandler {
  let histogram: Histogram
  init(histogram: Histogram) { self.histogram = histogram }
  func record(_ value: Int64) { histogram.record(Double(value)) }
  func record(_ value: Double) { histogram.record(value) }
  func recordNanoseconds(_ duration: Int64) { histogram.record(Double(duration) / 1e9) }
}
