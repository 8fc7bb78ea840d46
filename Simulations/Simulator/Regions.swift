internal import Base

/// 24 regions of the world and how far light and routing put them apart.
///
/// One way takes 0.5 ms and the great circle at 200 km/ms (light in glass) times 1.5, which is what
/// measured round trips between clouds' regions come to: London to Sydney 255 ms, New York to Frankfurt
/// 93 ms, both ways.
public enum Regions {
  public struct Region: Sendable {
    public var name: String
    public var latitude: Double
    public var longitude: Double
  }

  public static let all: [Region] = [
    Region(name: "virginia", latitude: 39.0, longitude: -77.5),
    Region(name: "ohio", latitude: 40.0, longitude: -83.0),
    Region(name: "california", latitude: 37.4, longitude: -121.9),
    Region(name: "oregon", latitude: 45.8, longitude: -119.7),
    Region(name: "texas", latitude: 32.8, longitude: -96.8),
    Region(name: "montreal", latitude: 45.5, longitude: -73.6),
    Region(name: "sao-paulo", latitude: -23.5, longitude: -46.6),
    Region(name: "santiago", latitude: -33.4, longitude: -70.7),
    Region(name: "ireland", latitude: 53.3, longitude: -6.3),
    Region(name: "london", latitude: 51.5, longitude: -0.1),
    Region(name: "paris", latitude: 48.9, longitude: 2.4),
    Region(name: "frankfurt", latitude: 50.1, longitude: 8.7),
    Region(name: "stockholm", latitude: 59.3, longitude: 18.1),
    Region(name: "milan", latitude: 45.5, longitude: 9.2),
    Region(name: "madrid", latitude: 40.4, longitude: -3.7),
    Region(name: "cape-town", latitude: -33.9, longitude: 18.4),
    Region(name: "bahrain", latitude: 26.1, longitude: 50.6),
    Region(name: "mumbai", latitude: 19.1, longitude: 72.9),
    Region(name: "singapore", latitude: 1.35, longitude: 103.8),
    Region(name: "hong-kong", latitude: 22.3, longitude: 114.2),
    Region(name: "seoul", latitude: 37.6, longitude: 127.0),
    Region(name: "tokyo", latitude: 35.7, longitude: 139.7),
    Region(name: "sydney", latitude: -33.9, longitude: 151.2),
    Region(name: "auckland", latitude: -36.8, longitude: 174.8),
  ]

  /// One way between every two regions, in nanoseconds: entry `a * count + b`.
  public static let delays: [Int64] = {
    let places = all.map { unit(latitude: $0.latitude, longitude: $0.longitude) }
    return places.flatMap { a in
      places.map { b in
        let kilometres = 6_371 * angle(a, b)
        return 500_000 + Int64(kilometres * 1.5 / 200 * 1e6)
      }
    }
  }()

  public static func delay(_ a: Int, _ b: Int) -> Duration {
    .nanoseconds(delays[a * all.count + b])
  }

  // MARK: Spheres, without a mathematics library: the same bits on every platform

  private static let halfTurn = 3.141_592_653_589_793

  private static func unit(latitude: Double, longitude: Double) -> SIMD3<Double> {
    let (phi, lambda) = (latitude / 180 * halfTurn, longitude / 180 * halfTurn)
    let (height, width) = (sine(phi), sine(phi + halfTurn / 2))
    return SIMD3(width * sine(lambda + halfTurn / 2), width * sine(lambda), height)
  }

  private static func angle(_ a: SIMD3<Double>, _ b: SIMD3<Double>) -> Double {
    let gap = a - b
    let half = min(((gap * gap).sum()).squareRoot() / 2, 1)
    // Newton on sin(x) = half, from below; a quarter turn at most.
    var x = half
    for _ in 0..<40 {
      let slope = max(sine(x + halfTurn / 2), 1e-9)
      x = min(x - (sine(x) - half) / slope, halfTurn / 2)
    }
    return 2 * x
  }

  /// The series, after reduction to a half turn.
  private static func sine(_ angle: Double) -> Double {
    var x = angle
    while x > halfTurn { x -= 2 * halfTurn }
    while x < -halfTurn { x += 2 * halfTurn }
    var (term, sum) = (x, x)
    for n in 1...14 {
      term *= -x * x / Double(2 * n * (2 * n + 1))
      sum += term
    }
    return sum
  }
}
