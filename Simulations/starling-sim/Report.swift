internal import Base
import Foundation
internal import Membership
internal import Simulator

/// One self-contained page about one run: figures, what happened when, how changes spread, what
/// members believed and whether it was true, bytes.
struct Report {
  var figures: Figures
  var fleet: Fleet
  var chronicle: Chronicle

  func write(to path: String) throws {
    try Data(html.utf8).write(to: URL(filePath: path))
  }

  private var html: String {
    """
    <!doctype html><html lang="en"><meta charset="utf-8">
    <meta name="viewport" content="width=device-width,initial-scale=1">
    <title>\(figures.scenario), seed \(figures.seed)</title>
    <style>
    :root{--ink:#1c2733;--soft:#5b6c7d;--line:#e3e9ef;--one:#1769aa;--two:#c2571a;--three:#2e7d4f;
    --paper:#fff;--bad:#c62828}
    @media(prefers-color-scheme:dark){:root{--ink:#e8eef4;--soft:#9fb0c0;--line:#2b3844;
    --one:#6cb6f5;--two:#f0a169;--three:#7cc99a;--paper:#141b22;--bad:#ff7b72}}
    body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
    max-width:1040px;margin:32px auto;padding:0 24px}
    h1{font-size:26px;margin:0}h2{font-size:17px;margin:32px 0 6px}p{margin:4px 0;color:var(--soft)}
    .cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(180px,1fr));gap:12px;
    margin:20px 0}.card{border:1px solid var(--line);border-radius:10px;padding:12px 14px}
    .card b{display:block;font-size:22px;font-weight:600}.card span{color:var(--soft);font-size:13px}
    .bad b{color:var(--bad)}svg{width:100%;height:auto;display:block}
    text{fill:var(--soft);font-size:12px}.timeline text{fill:var(--ink)}circle{fill:var(--two)}
    .grid{stroke:var(--line)}.moment{stroke:var(--two);opacity:.45;stroke-dasharray:2 3}
    .mark{stroke:var(--two);stroke-dasharray:4 4}
    path{fill:none;stroke-width:2}.c0{stroke:var(--one)}.c1{stroke:var(--two)}.c2{stroke:var(--three)}
    .many{stroke:var(--one);opacity:.3;stroke-width:1.2}
    .legend span{margin-right:20px}.legend i{display:inline-block;width:18px;height:3px;
    margin-right:7px;vertical-align:middle}i.c0{background:var(--one)}i.c1{background:var(--two)}
    table{border-collapse:collapse;font-size:13px}td{border-top:1px solid var(--line);
    padding:3px 18px 3px 0;vertical-align:top}
    </style>
    <h1>\(figures.scenario)</h1>
    <p>\(figures.nodes) peers, seed \(figures.seed), trace \(figures.traceHash)</p>
    <div class="cards">\(cards)</div>
    \(sections)
    <h2>All figures</h2><table>\(rows)</table></html>
    """
  }

  private var cards: String {
    let shown: [(String, String, Bool)] = [
      ("p50", figures.p50.map(Self.milliseconds) ?? "–", false),
      ("p99", figures.p99.map(Self.milliseconds) ?? "–", false),
      ("farthest path", figures.farthestPath.map(Self.milliseconds) ?? "–", false),
      ("copies for each peer", figures.copiesPerPeer.map { Self.short($0) } ?? "–", false),
      (
        "bytes a second and peer", figures.bytesPerSecondPerPeer.map { Self.short($0) } ?? "–",
        false
      ),
      ("false evictions", "\(figures.falseEvictions)", figures.falseEvictions > 0),
      ("violations", "\(figures.violations.count)", !figures.violations.isEmpty),
      ("times real time", Self.short(figures.simulatedPerRealSecond), false),
    ]
    return shown.map { name, value, isBad in
      "<div class=\"card\(isBad ? " bad" : "")\"><b>\(value)</b><span>\(name)</span></div>"
    }.joined()
  }

  private var sections: String {
    var out = ""
    if !figures.violations.isEmpty {
      let items = figures.violations.map { "<p>\(Self.escaped($0))</p>" }.joined()
      out += "<h2>Violations</h2>\(items)"
    }
    if !script.isEmpty {
      out += "<h2>What happened</h2>" + Timeline(script: script, end: end).html
    }
    if chronicle.samples.count > 1 { out += views }
    if !fleet.recorder.spreads.isEmpty {
      out +=
        "<h2>How changes spread</h2><p>Share of peers that have a change, by milliseconds since it "
        + "was pushed. The mark is the farthest one-way path: nothing can be faster.</p>"
        + Plot(
          curves: convergence, unit: "ms", top: 1, isShare: true, mark: figures.farthestPath
        ).html
    }
    return out + bytes + table
  }

  private var views: String {
    let samples = chronicle.samples
    func curve(_ name: String, _ value: KeyPath<Chronicle.Sample, Double>) -> Plot.Curve {
      Plot.Curve(name: name, points: samples.map { (time($0.at), $0[keyPath: value]) })
    }
    func plot(_ curves: [Plot.Curve], top: Double? = 1) -> String {
      Plot(
        curves: curves, unit: scale.unit, end: end, top: top, isShare: top != nil,
        moments: script.map(\.at)
      ).html
    }
    return
      "<h2>Who is wrong about members</h2><p>Compared with the truth, as some peers see it.</p>"
      + plot([
        curve("of those that can be reached: held absent", \.missed),
        curve("of those that cannot: held present", \.stale),
      ])
      + "<h2>Who disagrees</h2><p>Share of peers that do not see what most see.</p>"
      + plot([curve("members", \.memberDissent), curve("registers", \.registerDissent)])
      + "<h2>Changes of mind</h2><p>About members, in a second, all peers together.</p>"
      + plot(
        [
          .init(name: "to suspect or dead", points: scaled(chronicle.doubts)),
          .init(name: "and back", points: scaled(chronicle.returns)),
        ], top: nil)
  }

  private var bytes: String {
    let mean = scaled(chronicle.bytes).map { ($0.0, $0.1 / Double(max(count, 1))) }
    let totals = fleet.simulation.machines.map { Double($0.traffic.bytes) }.sorted()
    let length = max(end * scale.seconds, 1e-9)
    let ranks = totals.enumerated().map { (Double($0.offset + 1), $0.element / length) }
    return "<h2>Bytes</h2><p>Sent in a second, headers included.</p>"
      + Plot(
        curves: [
          .init(name: "by a peer on average", points: mean),
          .init(name: "by the peer that sent most", points: scaled(chronicle.mostBytes)),
        ], unit: scale.unit, end: end, moments: script.map(\.at)
      ).html
      + "<h2>Bytes of each peer</h2><p>A second, over the whole run, from the peer that sent least "
      + "to the one that sent most.</p>"
      + Plot(curves: [.init(name: "bytes a second", points: ranks)], unit: "").html
  }

  private var table: String {
    guard !script.isEmpty else { return "" }
    let lines = script.prefix(200).map {
      "<tr><td>\(Self.short($0.at)) \(scale.unit)<td>\(Self.escaped($0.what))"
    }
    let more = script.count > 200 ? "<p>and \(script.count - 200) more</p>" : ""
    return "<h2>All that happened</h2><table>\(lines.joined())</table>\(more)"
  }

  /// All changes together, and the twelve that were pushed first.
  private var convergence: [Plot.Curve] {
    let spreads = fleet.recorder.spreads.values.sorted { $0.began < $1.began }
    func curve(_ some: some Sequence<Recorder.Spread>, _ name: String?) -> Plot.Curve {
      let all = Array(some)
      let times = all.flatMap { spread in
        spread.arrivals.values.map { ($0 - spread.began).milliseconds }
      }.sorted()
      let whole = Double(max(count * all.count, 1))
      let points = times.enumerated().map { ($0.element, Double($0.offset + 1) / whole) }
      return Plot.Curve(name: name, points: [(0, 0)] + points)
    }
    return [curve(spreads, "all \(spreads.count) changes")]
      + (spreads.count > 1 ? spreads.prefix(12).map { curve([$0], nil) } : [])
  }

  private var count: Int { fleet.simulation.count }
  private var end: Double { time(fleet.now) }

  /// Of the axes of time.
  private var scale: (unit: String, seconds: Double) {
    switch (fleet.now - .zero).milliseconds / 1_000 {
    case ..<7_200: ("s", 1)
    case ..<259_200: ("h", 3_600)
    default: ("d", 86_400)
    }
  }

  private func scaled(_ stretches: Stretches) -> [(Double, Double)] {
    stretches.points.map { ($0.0 / scale.seconds, $0.1) }
  }

  private var script: [(at: Double, what: String)] {
    fleet.simulation.script.map { (time($0.at), $0.what) }
  }

  private func time(_ instant: Instant) -> Double {
    (instant - .zero).milliseconds / 1_000 / scale.seconds
  }

  private var rows: String {
    figures.table.map { "<tr><td>\($0.key)<td>\(Self.escaped($0.value.text))" }.joined()
  }

  static func milliseconds(_ value: Double) -> String { short(value) + " ms" }

  static func short(_ value: Double) -> String {
    value >= 100 ? String(Int(value.rounded())) : String(format: "%.2f", value)
  }

  static func escaped(_ text: String) -> String {
    text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
  }
}
