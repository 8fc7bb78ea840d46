internal import Base

/// One aspect of an object's state (`metav1.Condition`).
public struct Condition: Hashable, Sendable {
  public var type: String
  public var status: Bool
  /// CamelCase, stable: programs read it.
  public var reason: String
  /// For people.
  public var message: String

  public static let messageLimit = 1024

  public init(_ type: String, _ status: Bool, reason: String, message: String = "") {
    self.type = type
    self.status = status
    self.reason = reason
    self.message = String(message.prefix(Self.messageLimit))
  }
}

extension [Condition] {
  /// As `status.conditions`. A condition whose status is as it was keeps its time of transition, so
  /// that an unchanged state makes an unchanged object and no request.
  public func json(
    over observed: JSON?, generation: Int64, now milliseconds: UInt64
  ) -> JSON {
    .array(
      sorted { $0.type < $1.type }.map { condition in
        let old = observed?.array?.first { $0["type"]?.string == condition.type }
        let status = condition.status ? "True" : "False"
        let kept = old?["status"]?.string == status ? old?["lastTransitionTime"]?.string : nil
        return [
          "type": .string(condition.type), "status": .string(status),
          "reason": .string(condition.reason), "message": .string(condition.message),
          "observedGeneration": .integer(generation),
          "lastTransitionTime": .string(kept ?? CivilDate.rfc3339(milliseconds)),
        ]
      })
  }
}
