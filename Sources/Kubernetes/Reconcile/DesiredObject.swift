internal import Slices

/// An object as it should be, with everything that is wanted in it and nothing else.
public struct DesiredObject: Hashable, Sendable {
  public var id: ObjectID
  public var object: KubernetesObject
  /// With which it goes: the server deletes it when that one is deleted. It is not made before.
  public var owner: ObjectID?
  /// Everything that is wanted in `status`; `nil`: not ours to say.
  public var status: JSON?
  /// An object of somebody else, of which only the status is ours.
  public var isStatusOnly: Bool

  public init(
    _ type: ResourceType, _ key: ObjectKey, labels: [String: String] = [:],
    annotations: [String: String] = [:], _ members: [String: JSON?] = [:], owner: ObjectID? = nil,
    status: JSON? = nil, isStatusOnly: Bool = false
  ) {
    id = ObjectID(type, key)
    self.owner = owner
    self.status = status
    self.isStatusOnly = isStatusOnly
    object = KubernetesObject(type, key, members)
    guard !isStatusOnly else { return }
    var labels = labels
    labels[ObjectNames.managedBy] = ObjectNames.manager
    object.json["metadata"]?["labels"] = .texts(labels)
    if !annotations.isEmpty { object.json["metadata"]?["annotations"] = .texts(annotations) }
  }

  /// With the owner's reference and the digest of all this.
  func complete(owner: KubernetesObject?) -> KubernetesObject {
    var out = object
    if let id = self.owner, let owner {
      out.json["metadata"]?["ownerReferences"] = [owner.ownerReference(id.type)]
    }
    let digest = String(StableHash.of(out.json.description), radix: 16)
    var annotations = out.metadata["annotations"] ?? .empty
    annotations[ObjectNames.applied] = .string(digest)
    out.json["metadata"]?["annotations"] = annotations
    return out
  }
}
