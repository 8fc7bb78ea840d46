import Base
import Foundation

/// JSON that the encoder wrote, as a `Value` for YAML; fractions become text.
enum JSONText {
  static func value(_ data: Data) throws -> Value {
    convert(try JSONSerialization.jsonObject(with: data, options: .fragmentsAllowed))
  }

  private static func convert(_ object: Any) -> Value {
    switch object {
    case let map as [String: Any]: return .map(fields: map.mapValues(convert))
    case let list as [Any]: return .list(list.map(convert))
    case let text as String: return .string(text)
    case let number as NSNumber:
      if isBoolean(number) { return .bool(number.boolValue) }
      let double = number.doubleValue
      return double == double.rounded() && abs(double) < 9e15
        ? .integer(number.int64Value) : .string("\(double)")
    default: return .null
    }
  }

  private static func isBoolean(_ number: NSNumber) -> Bool {
    String(cString: number.objCType) == "c"
  }
}
