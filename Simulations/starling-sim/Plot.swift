import Foundation

/// Curves in one frame, as a legend and an SVG.
struct Plot {
  struct Curve {
    /// For the legend; `nil`: one of many.
    var name: String?
    var points: [(Double, Double)]
  }

  var curves: [Curve]
  /// Of the horizontal axis.
  var unit: String
  /// Right end of the horizontal axis, top of the vertical one; `nil`: the greatest value.
  var end: Double?
  var top: Double?
  var isShare = false
  /// A place on the horizontal axis that is a goal, and places where something happened.
  var mark: Double?
  var moments: [Double] = []

  /// Most points of a curve; of more, the highest of each stretch.
  private static let points = 500
  private static let momentLimit = 200

  /// The same for all pictures of a page.
  struct Frame {
    static let width = 1_000.0
    static let left = 64.0
    static let right = 16.0

    static func x(_ value: Double, of end: Double) -> Double {
      left + (width - left - right) * value / max(end, 1e-9)
    }
  }

  /// Four to eight round numbers from zero on.
  private static func ticks(to end: Double) -> [Double] {
    var step = pow(10, floor(log10(end)))
    if end / step < 2 { step /= 5 } else if end / step < 4 { step /= 2 }
    return stride(from: 0, through: end * 1.0001, by: step).map { $0 }
  }

  private static func label(_ value: Double) -> String {
    switch value {
    case 10_000_000...: String(format: "%g M", (value / 1e6 * 10).rounded() / 10)
    case 10_000...: String(format: "%g k", (value / 1e3 * 10).rounded() / 10)
    default: String(format: "%g", value)
    }
  }

  var html: String {
    let named = curves.enumerated().filter { $0.element.name != nil }
    let legend = named.map {
      "<span><i class=\"c\($0.offset)\"></i>\(Report.escaped($0.element.name ?? ""))</span>"
    }
    return (legend.isEmpty ? "" : "<p class=\"legend\">\(legend.joined())</p>") + svg
  }

  private var svg: String {
    let all = curves.flatMap(\.points)
    let end = end ?? max(all.map(\.0).max() ?? 1, mark ?? 0, 1e-9)
    let top = top ?? max((all.map(\.1).max() ?? 1) * 1.05, 1e-9)
    let (height, bottom) = (240.0, 210.0)
    func x(_ value: Double) -> Double { Frame.x(value, of: end) }
    func y(_ value: Double) -> Double { 10 + (bottom - 10) * (1 - min(value / top, 1)) }
    var out = "<svg viewBox=\"0 0 \(Int(Frame.width)) \(Int(height))\" role=\"img\">"
    for value in Self.ticks(to: top) {
      let label = isShare ? "\(Int((value * 100).rounded())) %" : Self.label(value)
      out += Self.line("grid", Frame.left, y(value), Frame.width - Frame.right, y(value))
      out +=
        "<text x=\"\(Frame.left - 8)\" y=\"\(y(value) + 4)\" text-anchor=\"end\">\(label)</text>"
    }
    for value in Self.ticks(to: end) {
      out += "<text x=\"\(x(value))\" y=\"\(height - 10)\" text-anchor=\"middle\">"
      out += "\(Self.label(value)) \(unit)</text>"
    }
    if let mark { out += Self.line("mark", x(mark), 10, x(mark), bottom) }
    for moment in moments.prefix(Self.momentLimit) {
      out += Self.line("moment", x(moment), 10, x(moment), bottom)
    }
    for (number, curve) in curves.enumerated() {
      let path = Self.thinned(curve.points).map { String(format: "%.1f,%.1f", x($0.0), y($0.1)) }
      guard !path.isEmpty else { continue }
      let style = curve.name == nil ? "many" : "c\(number)"
      out += "<path class=\"\(style)\" d=\"M\(path.joined(separator: "L"))\"/>"
    }
    return out + "</svg>"
  }

  static func line(_ style: String, _ x: Double, _ y: Double, _ x2: Double, _ y2: Double) -> String
  {
    String(
      format: "<line class=\"\(style)\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", x, y,
      x2, y2)
  }

  /// Keeps the ends, and what stands out.
  private static func thinned(_ points: [(Double, Double)]) -> [(Double, Double)] {
    guard points.count > Self.points else { return points }
    let size = (points.count + Self.points - 1) / Self.points
    let middle = stride(from: 1, to: points.count - 1, by: size).compactMap { start in
      points[start..<min(start + size, points.count - 1)].max { $0.1 < $1.1 }
    }
    return [points[0]] + middle + [points[points.count - 1]]
  }
}

/// What happened to machines and links, on the axis of the plots below it.
struct Timeline {
  var script: [(at: Double, what: String)]
  var end: Double

  private static let rowHeight = 20.0
  private static let mostRows = 8
  /// Of a letter, in the page's font.
  private static let letter = 6.4

  var html: String {
    var rows: [Double] = []
    var body = ""
    var unlabelled = 0
    for event in script {
      let x = Plot.Frame.x(event.at, of: end)
      let width = Self.letter * Double(event.what.count) + 14
      let isLeft = x + width > Plot.Frame.width
      let from = isLeft ? x - width : x - 6
      let free = rows.firstIndex { $0 < from }
      guard free != nil || rows.count < Self.mostRows else {
        unlabelled += 1
        continue
      }
      let row = free ?? rows.count
      if free == nil { rows.append(0) }
      rows[row] = isLeft ? x + 6 : x + width
      let y = 16 + Double(row) * Self.rowHeight
      body += "<circle cx=\"\(x)\" cy=\"\(y - 4)\" r=\"4\"/>"
      body +=
        "<text x=\"\(isLeft ? x - 9 : x + 9)\" y=\"\(y)\"\(isLeft ? " text-anchor=\"end\"" : "")>"
      body += "\(Report.escaped(event.what))</text>"
    }
    let bottom = 14 + Double(rows.count) * Self.rowHeight
    let marks = script.prefix(200).map {
      let x = Plot.Frame.x($0.at, of: end)
      return Plot.line("moment", x, 4, x, bottom)
    }
    let axis = Plot.line(
      "grid", Plot.Frame.left, bottom, Plot.Frame.width - Plot.Frame.right, bottom)
    let more = unlabelled > 0 ? "<p>\(unlabelled) more are in the table below.</p>" : ""
    return "<svg class=\"timeline\" viewBox=\"0 0 \(Int(Plot.Frame.width)) \(Int(bottom + 4))\">"
      + marks.joined() + axis + body + "</svg>" + more
  }
}
