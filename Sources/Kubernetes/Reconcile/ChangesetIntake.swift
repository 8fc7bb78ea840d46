/// Changes that were handed in as `SignedChangeset` objects: each is taken once, and its status says
/// what became of it. Whoever may create the object may delay the change, nothing else: the peer judges
/// the signature.
public struct ChangesetIntake: Sendable {
  public enum Phase: String, Hashable, Sendable {
    case accepted = "Accepted"
    /// It waits for something that has not arrived; it is handed in again from time to time.
    case pending = "Pending"
    case rejected = "Rejected"
    case superseded = "Superseded"
  }

  public struct Verdict: Hashable, Sendable {
    public var phase: Phase
    /// CamelCase.
    public var reason: String
    public var message: String
    /// Of the changeset, in hexadecimal digits; empty where it could not be read.
    public var id: String
    /// Its author's key.
    public var author: String

    public init(
      _ phase: Phase, reason: String, message: String, id: String = "", author: String = ""
    ) {
      self.phase = phase
      self.reason = reason
      self.message = message
      self.id = id
      self.author = author
    }
  }

  /// Signed bytes of at most 64 KiB, in base64.
  public static let encodedLimit = 131_072

  private var verdicts: [String: Verdict] = [:]
  private var asked: Set<String> = []

  public init() {}

  /// What is to be handed to the peer now: objects whose fate is not known, ascending by name. `retry`
  /// asks again for what is pending.
  public mutating func next(
    _ objects: ClusterObjects, retry: Bool
  ) -> [(uid: String, bytes: [UInt8])] {
    let all = objects.all(.signedChangesets)
    let present = Set(all.map(\.uid))
    verdicts = verdicts.filter { present.contains($0.key) }
    asked.formIntersection(present)
    var out: [(uid: String, bytes: [UInt8])] = []
    for object in all where !object.isTerminating && !asked.contains(object.uid) {
      let settled = object.status["phase"]?.string.flatMap { Phase(rawValue: $0) }
      if let settled, settled != .pending { continue }
      if verdicts[object.uid] != nil, !(retry && verdicts[object.uid]?.phase == .pending) {
        continue
      }
      guard let text = object.spec["changeset"]?.string, text.utf8.count <= Self.encodedLimit,
        let bytes = Base64.decode(text), !bytes.isEmpty
      else {
        verdicts[object.uid] = Verdict(
          .rejected, reason: "Malformed", message: "spec.changeset is not base64")
        continue
      }
      asked.insert(object.uid)
      out.append((object.uid, bytes))
    }
    return out
  }

  public mutating func judged(_ uid: String, _ verdict: Verdict) {
    asked.remove(uid)
    verdicts[uid] = verdict
  }

  /// Whether something has to be handed in again later.
  public var isWaiting: Bool { verdicts.values.contains { $0.phase == .pending } }

  public func desired(_ objects: ClusterObjects) -> [DesiredObject] {
    objects.all(.signedChangesets).compactMap { object in
      guard let verdict = verdicts[object.uid] else { return nil }
      let status = JSON.object([
        "phase": .string(verdict.phase.rawValue), "reason": .string(verdict.reason),
        "message": .string(String(verdict.message.prefix(1024))),
        "id": verdict.id.isEmpty ? nil : .string(verdict.id),
        "author": verdict.author.isEmpty ? nil : .string(verdict.author),
        "observedGeneration": .integer(object.generation),
      ])
      return DesiredObject(
        .signedChangesets, object.key, status: status, extent: .status)
    }
  }
}
