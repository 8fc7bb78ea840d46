internal import Base
import Foundation
internal import Membership
internal import Simulator

/// One self-contained page about one run: figures, how changes spread, what members believed, bytes.
struct Report {
  var figures: Figures
  var recorder: Recorder
  var count: Int
  /// What happened to machines and links.
  var script: [(at: Instant, what: String)] = []

  func write(to path: String) throws {
    try Data(html.utf8).write(to: URL(filePath: path))
  }

  private var html: String {
    """
    <!doctype html><html lang="en"><meta charset="utf-8">
    <meta name="viewport" content="width=device-width,initial-scale=1">
    <title>\(figures.scenario), seed \(figures.seed)</title>
    <style>
    :root{--ink:#1c2733;--soft:#66788a;--line:#e3e9ef;--one:#1769aa;--two:#c2571a;--paper:#fff}
    @media(prefers-color-scheme:dark){:root{--ink:#e8eef4;--soft:#9fb0c0;--line:#2b3844;
    --one:#6cb6f5;--two:#f0a169;--paper:#141b22}}
    body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
    max-width:1040px;margin:32px auto;padding:0 24px}
    h1{font-size:26px;margin:0}h2{font-size:17px;margin:32px 0 6px}p{margin:4px 0;color:var(--soft)}
    .cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(180px,1fr));gap:12px;
    margin:20px 0}.card{border:1px solid var(--line);border-radius:10px;padding:12px 14px}
    .card b{display:block;font-size:22px;font-weight:600}.card span{color:var(--soft);font-size:13px}
    .bad b{color:#c62828}svg{width:100%;height:auto;display:block}text{fill:var(--soft);font-size:12px}
    .grid{stroke:var(--line)}.one{stroke:var(--one)}.two{stroke:var(--two)}
    path{fill:none;stroke-width:2}table{border-collapse:collapse;font-size:13px}
    td{border-top:1px solid var(--line);padding:3px 18px 3px 0}
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
    if !recorder.spreads.isEmpty {
      out +=
        "<h2>How changes spread</h2><p>Share of peers that have each change, by milliseconds "
        + "since it was pushed; the mark is the farthest one-way path.</p>"
      out +=
        Plot(
          unit: "ms", series: convergence, mark: figures.farthestPath, ceiling: 1, isShare: true
        ).svg
    }
    if recorder.divergence.count > 1 {
      out +=
        "<h2>Who disagrees</h2><p>Share of peers that do not see what most see: of members (blue), "
        + "of registers (orange). Marks are the faults below.</p>"
      let curves = [
        recorder.divergence.map { (seconds($0.at), $0.members) },
        recorder.divergence.map { (seconds($0.at), $0.registers) },
      ]
      out +=
        Plot(
          unit: "s", series: curves, ceiling: 1, isShare: true,
          moments: script.map { seconds($0.at) }
        ).svg
    }
    if !script.isEmpty {
      let lines = script.prefix(200).map {
        "<tr><td>\(Self.short(seconds($0.at))) s<td>\(Self.escaped($0.what))"
      }
      out += "<h2>What happened</h2><table>\(lines.joined())</table>"
      if script.count > 200 { out += "<p>and \(script.count - 200) more</p>" }
    }
    out += "<h2>Bytes</h2><p>Sent by a peer on average, in each second of the run.</p>"
    let bytes = recorder.bytesBySecond.enumerated().map {
      (Double($0.offset), Double($0.element) / Double(max(count, 1)))
    }
    out += Plot(unit: "s", series: [bytes], ceiling: nil).svg
    if !recorder.transitions.isEmpty {
      out +=
        "<h2>What members believed</h2><p>Changes of mind in each second: held suspect or dead "
        + "(blue), and back (orange).</p>"
      out += Plot(unit: "s", series: beliefs, ceiling: nil).svg
    }
    return out
  }

  /// One curve for each change, the twelve that were pushed first.
  private var convergence: [[(Double, Double)]] {
    recorder.spreads.values.sorted { $0.began < $1.began }.prefix(12).map { spread in
      let times = spread.arrivals.values.map { ($0 - spread.began).milliseconds }.sorted()
      return [(0, 0)]
        + times.enumerated().map { ($0.element, Double($0.offset + 1) / Double(max(count, 1))) }
    }
  }

  private var beliefs: [[(Double, Double)]] {
    let last = recorder.transitions.map { Int(($0.at - .zero).milliseconds / 1_000) }.max() ?? 0
    var worse = [Double](repeating: 0, count: last + 2)
    var better = worse
    for transition in recorder.transitions {
      let second = Int((transition.at - .zero).milliseconds / 1_000)
      switch transition.to {
      case .suspect, .dead: worse[second] += 1
      default: better[second] += 1
      }
    }
    return [worse, better].map { $0.enumerated().map { (Double($0.offset), $0.element) } }
  }

  private func seconds(_ instant: Instant) -> Double { (instant - .zero).milliseconds / 1_000 }

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

/// Curves in one frame, as SVG.
private struct Plot {
  var unit: String
  var series: [[(Double, Double)]]
  var mark: Double?
  /// Of the vertical axis; `nil`: the greatest value.
  var ceiling: Double?
  var isShare = false
  /// Places on the horizontal axis that are marked.
  var moments: [Double] = []

  private let width = 1_000.0
  private let height = 260.0
  private let left = 60.0
  private let bottom = 30.0

  /// Four to eight round numbers from zero on.
  private static func ticks(to end: Double) -> [Double] {
    var step = pow(10, floor(log10(end)))
    if end / step < 2 { step /= 5 } else if end / step < 4 { step /= 2 }
    return stride(from: 0, through: end * 1.0001, by: step).map { $0 }
  }

  private static func label(_ value: Double) -> String {
    value == value.rounded() ? String(Int(value)) : String(format: "%g", value)
  }

  var svg: String {
    let right = max(series.flatMap { $0 }.map(\.0).max() ?? 1, mark ?? 0, 1e-9)
    let top = ceiling ?? max(series.flatMap { $0 }.map(\.1).max() ?? 1, 1e-9)
    func x(_ value: Double) -> Double { left + (width - left - 16) * value / right }
    func y(_ value: Double) -> Double { 10 + (height - bottom - 10) * (1 - min(value / top, 1)) }
    var out = "<svg viewBox=\"0 0 \(Int(width)) \(Int(height))\">"
    for share in Self.ticks(to: top) {
      out +=
        "<line class=\"grid\" x1=\"\(left)\" x2=\"\(width)\" y1=\"\(y(share))\" y2=\"\(y(share))\"/>"
      let label = isShare ? "\(Int((share * 100).rounded())) %" : Self.label(share)
      out += "<text x=\"\(left - 8)\" y=\"\(y(share) + 4)\" text-anchor=\"end\">\(label)</text>"
    }
    for time in Self.ticks(to: right) {
      out += "<text x=\"\(x(time))\" y=\"\(height - 8)\" text-anchor=\"middle\">"
      out += "\(Self.label(time)) \(unit)</text>"
    }
    if let mark {
      out += "<line class=\"two\" stroke-dasharray=\"4 4\" x1=\"\(x(mark))\" x2=\"\(x(mark))\" "
      out += "y1=\"10\" y2=\"\(height - bottom)\"/>"
    }
    for moment in moments.prefix(200) {
      out += "<line class=\"grid\" stroke-width=\"2\" x1=\"\(x(moment))\" x2=\"\(x(moment))\" "
      out += "y1=\"10\" y2=\"\(height - bottom)\"/>"
    }
    for (number, points) in series.enumerated() {
      let colour = series.count == 2 && number == 1 ? "two" : "one"
      let faint = series.count > 2 ? " opacity=\"0.5\"" : ""
      let thinned = points.enumerated().filter {
        points.count < 600 || $0.offset % (points.count / 300) == 0
          || $0.offset == points.count - 1
      }
      let path = thinned.map { String(format: "%.1f,%.1f", x($0.element.0), y($0.element.1)) }
      out += "<path class=\"\(colour)\"\(faint) d=\"M\(path.joined(separator: "L"))\"/>"
    }
    return out + "</svg>"
  }
}
