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
