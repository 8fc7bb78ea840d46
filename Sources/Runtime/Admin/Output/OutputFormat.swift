internal import FoundationEssentials

/// What `-o` takes.
public enum OutputFormat: String, CaseIterable, Hashable, Sendable {
  case table, wide, json, yaml

  /// For programs rather than people.
  public var isStructured: Bool { self == .json || self == .yaml }

  /// A value as JSON or YAML; field names are those of the API. Ends with a newline.
  public func text(_ value: some Encodable) throws(AdminError) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    do {
      let data = try encoder.encode(value)
      guard self == .yaml else { return String(decoding: data, as: UTF8.self) + "\n" }
      return try JSONDecoder().decode(OutputTree.self, from: data).yaml
    } catch {
      throw AdminError(.failed, "cannot write the answer as \(rawValue): \(error)")
    }
  }
}
