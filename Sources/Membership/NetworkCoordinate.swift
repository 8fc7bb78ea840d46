import Base

/// A place in Vivaldi's space: three dimensions and a height (Dabek et al., SIGCOMM 2004, §5.4), so
/// that the distance of two members predicts their round-trip time.
///
/// Ten bytes, in steps of 20 µs: ±655 ms an axis, which is above any path on Earth or to a
/// geostationary satellite. Arithmetic is done in seconds and rounded back.
public struct NetworkCoordinate: Hashable, Sendable {
  public var x: Int16
  public var y: Int16
  public var z: Int16
  /// The part of every path that no neighbour avoids: access links, queues.
  public var height: UInt16
  /// Estimated relative error, in 1/65,535; 65,535 is "knows nothing".
  public var error: UInt16

  static let secondsPerStep: Float = 20e-6

  public static let origin = NetworkCoordinate(x: 0, y: 0, z: 0, height: 5, error: .max)

  public init(x: Int16, y: Int16, z: Int16, height: UInt16, error: UInt16) {
    self.x = x
    self.y = y
    self.z = z
    self.height = height
    self.error = error
  }

  /// Whether anything but the start value is known.
  public var isKnown: Bool { error < .max }

  /// Predicted round-trip time.
  public func distance(to other: NetworkCoordinate) -> Duration {
    .microseconds(Int64(seconds(to: other) * 1e6))
  }

  func seconds(to other: NetworkCoordinate) -> Float {
    let (dx, dy, dz) = delta(from: other)
    return (dx * dx + dy * dy + dz * dz).squareRoot()
      + (Float(height) + Float(other.height)) * Self.secondsPerStep
  }

  private func delta(from other: NetworkCoordinate) -> (Float, Float, Float) {
    (
      (Float(x) - Float(other.x)) * Self.secondsPerStep,
      (Float(y) - Float(other.y)) * Self.secondsPerStep,
      (Float(z) - Float(other.z)) * Self.secondsPerStep
    )
  }
}

extension NetworkCoordinate {
  /// Share of the error by which one sample may move a coordinate and its error estimate (c_c, c_e).
  private static let gain: Float = 0.25
  /// What one sample may move it at most, so that no liar throws it far: 50 ms.
  private static let stepLimit: Float = 0.05

  /// Moves this coordinate after a measured round trip to a member that says it is at `remote`.
  mutating func observe(
    _ roundTrip: Duration, to remote: NetworkCoordinate, using rng: inout SeededGenerator
  ) {
    let measured = max(Float(roundTrip.nanoseconds) * 1e-9, 100e-6)
    guard measured < 2 else { return }
    let (mine, theirs) = (Float(error) / 65_535, Float(remote.error) / 65_535)
    let weight = mine + theirs > 0 ? mine / (mine + theirs) : 0.5
    let predicted = seconds(to: remote)
    let relativeError = min(abs(predicted - measured) / measured, 1)
    let share = Self.gain * weight
    let newError = min(max(relativeError * share + mine * (1 - share), 0.01), 0.99)
    error = UInt16(newError * 65_535)

    let pull = share * (measured - predicted)
    let force = min(max(pull, -Self.stepLimit), Self.stepLimit)
    var direction = delta(from: remote)
    var length = (square(direction.0) + square(direction.1) + square(direction.2)).squareRoot()
    if length < 1e-5 {
      // On top of one another: any way apart is right.
      direction = (
        Float.random(in: -1...1, using: &rng), Float.random(in: -1...1, using: &rng),
        Float.random(in: -1...1, using: &rng)
      )
      length = max(
        (square(direction.0) + square(direction.1) + square(direction.2)).squareRoot(), 1e-3)
    }
    let heights = (Float(height) + Float(remote.height)) * Self.secondsPerStep
    let planar = max(predicted - heights, 0)
    // §5.4: the unit vector of (planar part, heights) scales both; the height always grows with a
    // push and shrinks with a pull.
    let along = predicted > 0 ? force * planar / predicted : force
    let scale = (planar < 1e-5 ? force : along) / length / Self.secondsPerStep
    x = Self.stepped(x, direction.0 * scale)
    y = Self.stepped(y, direction.1 * scale)
    z = Self.stepped(z, direction.2 * scale)
    let up = predicted > 0 ? force * heights / predicted / Self.secondsPerStep : 0
    height = UInt16(min(max(Float(height) + up, 1), 65_535))
  }

  private static func stepped(_ value: Int16, _ change: Float) -> Int16 {
    Int16(min(max(Float(value) + change.rounded(), -32_767), 32_767))
  }

  private func square(_ value: Float) -> Float { value * value }
}
