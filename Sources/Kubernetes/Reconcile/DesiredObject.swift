internal import Slices

/// An object as it should be, with everything that is wanted in it and nothing else.
public struct DesiredObject: Hashable, Sendable {
  public enum Extent: Hashable, Sendable {
    /// All of it is ours, and says so.
    case whole
    /// Fields in an object of somebody else, which is neither made nor deleted here.
    case fields
    /// Only the status, of an object of somebody else.
    case status
  }

  public var id: ObjectID
  public var object: KubernetesObject
  public let extent: Extent
  /// With which it goes: the server deletes it when that one is deleted.
  public var owner: ObjectID?
  /// It is made beside its owner, whose reference follows: others wait for what the server puts into it.
  public let precedesOwner: Bool
  /// Everything that is wanted in `status`; `nil`: not ours to say.
  public var status: JSON?
  /// No field of it is wanted any more.
  private let isReleased: Bool

  public init(
    _ type: ResourceType, _ key: ObjectKey, labels: [String: String] = [:],
    annotations: [String: String] = [:], _ members: [String: JSON?] = [:], owner: ObjectID? = nil,
    precedesOwner: Bool = false, status: JSON? = nil, extent: Extent = .whole
  ) {
    id = ObjectID(type, key)
    self.extent = extent
    self.owner = owner
    self.precedesOwner = precedesOwner
    self.status = status
    isReleased = extent == .fields && labels.isEmpty && annotations.isEmpty && members.isEmpty
    object = KubernetesObject(type, key, members)
    guard extent != .status else { return }
    var labels = labels
    if extent == .whole { labels[ObjectNames.managedBy] = ObjectNames.manager }
    if !labels.isEmpty { object.json["metadata"]?["labels"] = .texts(labels) }
    if !annotations.isEmpty { object.json["metadata"]?["annotations"] = .texts(annotations) }
  }

  /// With the owner's reference and the digest of all this.
  ///
  /// - Parameter present: the object as it is. Of somebody else's it is named by its UID, so that no
  ///   other, and none that is gone, gets our fields.
  func complete(owner: KubernetesObject?, present: KubernetesObject?) -> KubernetesObject {
    var out = object
    if let id = self.owner, let owner {
      out.json["metadata"]?["ownerReferences"] = [owner.ownerReference(id.type)]
    }
    if !isReleased {
      let digest = String(StableHash.of(out.json.description), radix: 16)
      var annotations = out.metadata["annotations"] ?? .empty
      annotations[ObjectNames.applied] = .string(digest)
      out.json["metadata"]?["annotations"] = annotations
    }
    if extent == .fields, let present { out.json["metadata"]?["uid"] = .string(present.uid) }
    return out
  }
}
