/// Compares what should be with what is, and says which requests make up the difference.
///
/// Level-triggered and idempotent: whatever was interrupted, the next comparison sees what is left.
public enum ObjectDiffer {
  public struct Action: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable { case create, update, revert, status, delete }

    public var id: ObjectID
    public var kind: Kind
    public var request: APIRequest
    /// Of the object that it was computed from; empty where there was none.
    public var resourceVersion: String
    /// UID of the object's owner; empty where it has none.
    public var owner: String

    public init(
      id: ObjectID, kind: Kind, request: APIRequest, resourceVersion: String, owner: String = ""
    ) {
      self.id = id
      self.kind = kind
      self.request = request
      self.resourceVersion = resourceVersion
      self.owner = owner
    }
  }

  /// - Parameters:
  ///   - managed: types of which objects that carry our label and are not wanted are deleted.
  ///   - desired: no object twice.
  /// - Returns: applications in the order of `desired`, then deletions, ascending.
  public static func actions(
    _ desired: [DesiredObject], observed: ClusterObjects, managed: [ResourceType]
  ) -> [Action] {
    var actions: [Action] = []
    var wanted: Set<ObjectID> = []
    for object in desired {
      wanted.insert(object.id)
      // What the store does not hold for lack of room may be there as wanted: leave it.
      guard observed.isComplete(object.id.type) || observed[object.id] != nil else { continue }
      actions += self.actions(object, observed)
    }
    for type in managed where observed.isServed(type) {
      for object in observed.all(type) where !wanted.contains(ObjectID(type, object.key)) {
        actions += deletion(of: object, type)
      }
    }
    return actions
  }

  /// The same of a part: `made` is all that was made for it.
  public static func actions(
    _ desired: [DesiredObject], observed: ClusterObjects, made: [ObjectID], mayDelete: Bool
  ) -> [Action] {
    var actions = actions(desired, observed: observed, managed: [])
    guard mayDelete else { return actions }
    let wanted = Set(desired.map(\.id))
    for id in made where !wanted.contains(id) {
      if let object = observed[id] { actions += deletion(of: object, id.type) }
    }
    return actions
  }

  private static func deletion(of object: KubernetesObject, _ type: ResourceType) -> [Action] {
    guard isOurs(object), !object.isTerminating else { return [] }
    let id = ObjectID(type, object.key)
    return [
      Action(
        id: id, kind: .delete, request: .delete(id, uid: object.uid),
        resourceVersion: object.resourceVersion, owner: object.ownerUID)
    ]
  }

  /// Whether it was made here.
  public static func isOurs(_ object: KubernetesObject) -> Bool {
    object.labels[ObjectNames.managedBy] == ObjectNames.manager
  }

  private static func actions(_ desired: DesiredObject, _ observed: ClusterObjects) -> [Action] {
    let id = desired.id
    let have = observed[id]
    // It comes back anew once it is gone.
    if have?.isTerminating == true { return [] }
    if desired.extent == .fields, have == nil { return [] }
    var out: [Action] = []
    if desired.extent != .status {
      var owner: KubernetesObject?
      if let wanted = desired.owner {
        owner = observed[wanted].flatMap { $0.uid.isEmpty || $0.isTerminating ? nil : $0 }
        let mayPrecede = desired.precedesOwner && have == nil && observed[wanted] == nil
        guard owner != nil || mayPrecede else { return [] }
      }
      let object = desired.complete(owner: owner, present: have)
      if let kind = kind(object, have) {
        out.append(
          Action(
            id: id, kind: kind, request: .apply(object, id.type),
            resourceVersion: have?.resourceVersion ?? "", owner: object.ownerUID))
      }
    }
    // What changes the object changes what its status is said of: one after the other.
    if let status = desired.status, let have, !have.status.covers(status),
      !out.contains(where: { $0.kind == .update })
    {
      let object = KubernetesObject(id.type, id.key, ["status": status])
      out.append(
        Action(
          id: id, kind: .status, request: .apply(object, id.type, subresource: "status"),
          resourceVersion: have.resourceVersion))
    }
    return out
  }

  /// `nil` where it is as wanted. A digest that is ours with other content is drift: somebody changed
  /// it.
  private static func kind(_ wanted: KubernetesObject, _ have: KubernetesObject?) -> Action.Kind? {
    guard let have else { return .create }
    let isSame = have.annotations[ObjectNames.applied] == wanted.annotations[ObjectNames.applied]
    if have.json.covers(wanted.json) { return isSame ? nil : .update }
    return isSame ? .revert : .update
  }
}
