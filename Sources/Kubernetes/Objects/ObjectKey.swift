/// Where an object is found among those of its type.
public struct ObjectKey: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Empty for objects of the whole cluster.
  public var namespace: String
  public var name: String

  public init(namespace: String = "", name: String) {
    self.namespace = namespace
    self.name = name
  }

  public static func < (a: Self, b: Self) -> Bool {
    a.namespace == b.namespace ? a.name < b.name : a.namespace < b.namespace
  }

  public var description: String { namespace.isEmpty ? name : "\(namespace)/\(name)" }
}

/// An object's type and place.
public struct ObjectID: Hashable, Comparable, Sendable, CustomStringConvertible {
  public var type: ResourceType
  public var key: ObjectKey

  public init(_ type: ResourceType, _ key: ObjectKey) {
    self.type = type
    self.key = key
  }

  public static func < (a: Self, b: Self) -> Bool {
    a.type == b.type ? a.key < b.key : a.type < b.type
  }

  public var description: String { "\(type)/\(key)" }
}
