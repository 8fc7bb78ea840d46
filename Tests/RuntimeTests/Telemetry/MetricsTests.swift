import CoreMetrics
import Testing

@testable import Runtime

@Suite struct MetricsTests {
  func text(_ registry: MetricsRegistry) -> String {
    String(decoding: PrometheusText.exposition(of: registry), as: UTF8.self)
  }

  @Test func expositionFollowsTheFormat() {
    let registry = MetricsRegistry()
    registry.counter("b_total", help: "Things.\nMore \\ things.", labels: ["kind": "x\"y\\z\nw"])
      .increment(by: 3)
    registry.counter("b_total", help: "ignored", labels: ["kind": "a"]).increment()
    registry.gauge("a_ratio", help: "A ratio.").set(0.25)
    let histogram = registry.histogram("c_seconds", help: "Times.", bounds: [0.1, 1])
    histogram.record(0.05)
    histogram.record(.milliseconds(500))
    histogram.record(7)
    histogram.record(.nan)
    #expect(
      text(registry) == """
        # HELP a_ratio A ratio.
        # TYPE a_ratio gauge
        a_ratio 0.25
        # HELP b_total Things.\\nMore \\\\ things.
        # TYPE b_total counter
        b_total{kind="a"} 1
        b_total{kind="x\\"y\\\\z\\nw"} 3
        # HELP c_seconds Times.
        # TYPE c_seconds histogram
        c_seconds_bucket{le="0.1"} 1
        c_seconds_bucket{le="1"} 2
        c_seconds_bucket{le="+Inf"} 3
        c_seconds_sum 7.55
        c_seconds_count 3

        """)
  }

  @Test func oneNameIsOneMetric() {
    let registry = MetricsRegistry()
    registry.counter("n_total", help: "N.").increment()
    registry.counter("n_total", help: "N.").increment()
    #expect(registry.counter("n_total", help: "N.").value == 2)
    // Another kind or other labels under that name count nothing and break nothing.
    registry.gauge("n_total", help: "N.").set(5)
    registry.counter("n_total", help: "N.", labels: ["a": "b"]).increment()
    #expect(text(registry).contains("n_total 2\n"))
    #expect(!text(registry).contains("5"))
  }

  @Test func labelSetsAreBounded() {
    let registry = MetricsRegistry(seriesLimit: 10)
    for i in 0..<1000 {
      registry.counter("n_total", help: "N.", labels: ["source": "\(i)"]).increment()
    }
    let lines = text(registry).split(separator: "\n")
    #expect(lines.count == 2 + 11)
    #expect(lines.contains("n_total{source=\"other\"} 990"))
    registry.remove("n_total", labels: ["source": "3"])
    #expect(!text(registry).contains("source=\"3\""))
  }

  @Test func numbersAreAsPrometheusReadsThem() {
    #expect(PrometheusText.number(.infinity) == "+Inf")
    #expect(PrometheusText.number(-.infinity) == "-Inf")
    #expect(PrometheusText.number(.nan) == "NaN")
    #expect(PrometheusText.number(1_234_567) == "1234567")
    #expect(PrometheusText.number(1e-7) == "1e-07")
    #expect(PrometheusText.number(1e300) == "1e+300")
  }

  @Test func metricsAreCountedFromManyThreads() async {
    let registry = MetricsRegistry()
    let gauge = registry.gauge("g", help: "G.")
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask {
          for _ in 0..<1000 {
            registry.counter("n_total", help: "N.").increment()
            gauge.add(1)
          }
        }
      }
    }
    #expect(registry.counter("n_total", help: "N.").value == 8000)
    #expect(gauge.value == 8000)
  }

  @Test func theProcessIsMeasured() throws {
    let reading = try #require(ProcessMetrics.read())
    #expect(reading.residentBytes > 1_000_000)
    #expect(reading.openFiles >= 3)
    #expect(reading.maximumFiles >= reading.openFiles)
    #expect(reading.threads >= 1)
    #expect(reading.startSeconds > 1_600_000_000)
    let registry = MetricsRegistry()
    ProcessMetrics.register(in: registry)
    #expect(text(registry).contains("# TYPE process_resident_memory_bytes gauge\n"))
    #expect(text(registry).contains("# TYPE process_cpu_seconds_total counter\n"))
  }

  @Test func swiftMetricsReportsHere() {
    let registry = MetricsRegistry()
    registry.makeCounter(label: "http.requests", dimensions: [("path", "/a"), ("code", "200")])
      .increment(by: 2)
    registry.makeTimer(label: "1st-time", dimensions: []).recordNanoseconds(2_000_000)
    registry.makeMeter(label: "depth", dimensions: []).set(4 as Int64)
    let text = text(registry)
    #expect(text.contains("http_requests{dimensions=\"code=200,path=/a\"} 2\n"))
    #expect(text.contains("_1st_time_sum{dimensions=\"\"} 0.002\n"))
    #expect(text.contains("depth{dimensions=\"\"} 4\n"))
  }
}
