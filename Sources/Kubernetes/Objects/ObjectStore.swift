/// The objects of one type as the last list and the events since told, bounded.
public struct ObjectStore: Sendable {
  public struct Limits: Hashable, Sendable {
    public var objects: Int
    /// Of the objects' JSON, about.
    public var bytes: Int

    public static let standard = Limits(objects: 100_000, bytes: 256 << 20)

    public init(objects: Int, bytes: Int) {
      self.objects = objects
      self.bytes = bytes
    }
  }

  private var entries: [ObjectKey: Entry] = [:]
  public let limits: Limits
  public private(set) var bytes = 0
  /// Objects that did not fit are missing: what is not here may still exist, so nothing may be
  /// deleted for its absence.
  public private(set) var isTruncated = false

  private struct Entry: Sendable {
    var object: KubernetesObject
    var bytes: Int
  }

  public init(limits: Limits = .standard) {
    self.limits = limits
  }

  public var count: Int { entries.count }

  public subscript(key: ObjectKey) -> KubernetesObject? { entries[key]?.object }

  /// Ascending by key.
  public var keys: [ObjectKey] { entries.keys.sorted() }

  /// Ascending by key.
  public var objects: [KubernetesObject] { keys.compactMap { entries[$0]?.object } }

  /// - Returns: whether anything but the resource version changed; `false` as well where it did not
  ///   fit.
  public mutating func put(_ object: KubernetesObject, bytes size: Int) -> Bool {
    let key = object.key
    let object = object.trimmed()
    let old = entries[key]
    let total = bytes - (old?.bytes ?? 0) + size
    guard total <= limits.bytes, old != nil || entries.count < limits.objects else {
      isTruncated = true
      // What is known to be out of date is worse than a gap.
      return remove(key) != nil
    }
    bytes = total
    entries[key] = Entry(object: object, bytes: size)
    guard let old else { return true }
    return old.object.withoutVersion != object.withoutVersion
  }

  @discardableResult
  public mutating func remove(_ key: ObjectKey) -> KubernetesObject? {
    guard let old = entries.removeValue(forKey: key) else { return nil }
    bytes -= old.bytes
    return old.object
  }

  /// Ends a full list: what it did not name is gone.
  ///
  /// - Returns: the keys that went, ascending.
  mutating func keepOnly(_ listed: Set<ObjectKey>, isComplete: Bool) -> [ObjectKey] {
    let gone = entries.keys.filter { !listed.contains($0) }.sorted()
    for key in gone { remove(key) }
    isTruncated = !isComplete
    return gone
  }
}

extension KubernetesObject {
  fileprivate var withoutVersion: JSON {
    var out = json
    out["metadata"]?["resourceVersion"] = nil
    return out
  }
}
