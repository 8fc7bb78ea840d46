/// Days of the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms"), without Foundation's calendar and its memory.
public enum CivilDate {
  public static func civil(fromDays days: Int) -> (year: Int, month: Int, day: Int) {
    let z = days + 719_468
    let era = (z >= 0 ? z : z - 146_096) / 146_097
    let dayOfEra = z - era * 146_097
    let yearOfEra =
      (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    return (
      yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1
    )
  }

  public static func days(year: Int, month: Int, day: Int) -> Int {
    let y = month <= 2 ? year - 1 : year
    let era = (y >= 0 ? y : y - 399) / 400
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  /// The last moment of the year 9999: RFC 3339 writes four digits.
  public static let maximumMilliseconds: UInt64 = 253_402_300_799_999

  /// `2026-11-23T08:22:13Z` with 0, 3 or 6 digits of a second's fraction.
  public static func rfc3339(_ milliseconds: UInt64, fractionDigits: Int = 0) -> String {
    let milliseconds = min(milliseconds, maximumMilliseconds)
    let seconds = milliseconds / 1000
    let (year, month, day) = civil(fromDays: Int(seconds / 86_400))
    let ofDay = Int(seconds % 86_400)
    let fraction =
      fractionDigits == 0
      ? "" : "." + pad(Int(milliseconds % 1000), 3) + (fractionDigits > 3 ? "000" : "")
    return "\(pad(year, 4))-\(pad(month, 2))-\(pad(day, 2))"
      + "T\(pad(ofDay / 3600, 2)):\(pad(ofDay / 60 % 60, 2)):\(pad(ofDay % 60, 2))\(fraction)Z"
  }

  private static func pad(_ number: Int, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
  }

  /// Milliseconds since 1970; `nil` unless it is an RFC 3339 time from 1970 on; any offset.
  public static func milliseconds(rfc3339 text: String) -> UInt64? {
    var rest = Array(text.utf8)[...]
    func number(_ width: Int, before separators: [UInt8]) -> Int? {
      guard rest.count >= width else { return nil }
      var value = 0
      for digit in rest.prefix(width) {
        guard (48...57).contains(digit) else { return nil }
        value = value * 10 + Int(digit - 48)
      }
      rest = rest.dropFirst(width)
      if separators.isEmpty { return value }
      guard let next = rest.popFirst(), separators.contains(next) else { return nil }
      return value
    }
    guard let year = number(4, before: [45]), let month = number(2, before: [45]),
      let day = number(2, before: [84, 116, 32]), let hour = number(2, before: [58]),
      let minute = number(2, before: [58]), let second = number(2, before: []),
      (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 61
    else { return nil }
    let days = days(year: year, month: month, day: day)
    guard civil(fromDays: days) == (year, month, day) else { return nil }
    var fraction = 0
    if rest.first == 46 {
      rest = rest.dropFirst()
      let digits = rest.prefix { (48...57).contains($0) }
      guard !digits.isEmpty else { return nil }
      for i in 0..<3 {
        fraction = fraction * 10 + (i < digits.count ? Int(digits[digits.startIndex + i]) - 48 : 0)
      }
      rest = rest.dropFirst(digits.count)
    }
    var offset = 0
    switch rest.popFirst() {
    case 90, 122: break
    case let sign? where sign == 43 || sign == 45:
      guard let hours = number(2, before: [58]), let minutes = number(2, before: []),
        hours < 24, minutes < 60
      else { return nil }
      offset = (hours * 60 + minutes) * (sign == 45 ? -60 : 60)
    default: return nil
    }
    guard rest.isEmpty else { return nil }
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset
    return seconds < 0 ? nil : UInt64(seconds) * 1000 + UInt64(fraction)
  }
}
