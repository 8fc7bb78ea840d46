/// A quantity of the Kubernetes API (`8`, `500m`, `16Gi`): digits, an optional fraction, a suffix.
///
/// Equal where they are worth the same. `description` is the form in which API servers keep it, so that
/// what was written is found again.
///
/// Source: `Quantity` in the Kubernetes API machinery.
public struct ResourceQuantity: Hashable, Sendable, CustomStringConvertible {
  public let description: String

  private static let decimal = ["m", "", "k", "M", "G", "T", "P", "E"]
  private static let binary = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]

  /// `nil` where it is none, or one beyond 2^63 of its smallest unit.
  public init?(_ text: String) {
    guard text.utf8.count <= 32 else { return nil }
    let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    let parts = number.split(separator: ".", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }) else { return nil }
    let fraction = parts.count == 2 ? parts[1].utf8.count : 0
    guard let digits = Int64(parts.joined()) else { return nil }
    let suffix = String(text.dropFirst(number.count))
    let written: String?
    if let step = Self.decimal.firstIndex(of: suffix) {
      written = Self.decimalText(digits, exponent: (step - 1) * 3 - fraction)
    } else if let step = Self.binary.firstIndex(of: suffix) {
      written = Self.binaryText(digits, step: step, fraction: fraction)
    } else {
      return nil
    }
    guard let written else { return nil }
    description = written
  }

  /// The largest suffix that leaves a whole number; what is smaller than 10^-3 is rounded up.
  private static func decimalText(_ digits: Int64, exponent: Int) -> String? {
    guard digits > 0 else { return "0" }
    var (value, exponent) = (digits, exponent)
    while exponent < -3 {
      (value, exponent) = (value / 10 + (value % 10 > 0 ? 1 : 0), exponent + 1)
    }
    while value % 10 == 0 { (value, exponent) = (value / 10, exponent + 1) }
    let step = min(18, exponent - ((exponent % 3) + 3) % 3)
    guard let number = scaled(value, by: exponent - step), scaled(number, by: step) != nil else {
      return nil
    }
    return "\(number)\(decimal[step / 3 + 1])"
  }

  /// Times a power of ten; `nil` from 2^63.
  private static func scaled(_ value: Int64, by exponent: Int) -> Int64? {
    var out = value
    for _ in 0..<max(0, exponent) {
      let (product, overflow) = out.multipliedReportingOverflow(by: 10)
      if overflow { return nil }
      out = product
    }
    return out
  }

  /// Whole numbers from 1,024; anything else as a decimal.
  private static func binaryText(_ digits: Int64, step: Int, fraction: Int) -> String? {
    let (product, overflow) = digits.multipliedReportingOverflow(by: Int64(1) << (step * 10))
    guard !overflow, let unit = scaled(1, by: fraction) else { return nil }
    guard product / unit >= 1024, product % unit == 0 else {
      return decimalText(product, exponent: -fraction)
    }
    var (value, index) = (product / unit, 0)
    while value % 1024 == 0, index < 6 { (value, index) = (value / 1024, index + 1) }
    return "\(value)\(binary[index])"
  }
}
