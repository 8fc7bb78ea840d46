import Base
import Foundation

@testable import Replication

/// The capabilities of `state_model.py`: `write` as `slice:*`, `once` as `enrol:tok`.
struct ModelAuthority: Authority {
  static let write = Capability.slice("*")
  static let once = Capability.enrol("tok")

  var rootCapabilities: [Capability] { [.grant, .admit, Self.write] }

  func isToken(_ grant: Grant) -> Bool { grant.capabilities.contains(Self.once) }

  func objection(to changeset: Changeset, under grant: Grant, isRoot: Bool) -> Unauthorised? {
    let own = grant.capabilities
    if !changeset.writes.isEmpty, !own.contains(Self.write), !own.contains(Self.once) {
      return .mayNotWrite(path: changeset.writes[0].path, needs: "write")
    }
    guard let need = changeset.grant?.capabilities else { return nil }
    if own.contains(Self.once) {
      return need == [Self.write] ? nil : .mayNotGrant("anything but write by a token")
    }
    guard own.contains(.grant) || own.contains(.admit) else { return .mayNotGrant("anything") }
    let isWithin = need.allSatisfy { $0 == Self.once || own.contains($0) }
    return isWithin ? nil : .mayNotGrant("more than it holds")
  }
}

/// One line of `export_vectors.py`.
struct ModelHistory {
  struct Said {
    var order: [Int]
    var counting: Set<Digest>
    var evidence: Set<Digest>
    var compared: Set<Digest>
    var view: [String: CountingOracle.Shown]
  }

  static let genesis = Genesis(
    id: Digest(words: (0, 0, 0, 1)), bytes: [], name: "model",
    root: RootKeys(keys: [key(5)], threshold: 1), zones: [], createdMilliseconds: 0)

  var changesets: [Changeset]
  var sets: [Said]

  init?(line: some StringProtocol) {
    guard let json = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
      let made = json["c"] as? [[Any]], let sets = json["s"] as? [[Any]]
    else { return nil }
    changesets = []
    for (place, fields) in made.enumerated() {
      guard let changeset = Self.changeset(place, fields) else { return nil }
      changesets.append(changeset)
    }
    self.sets = []
    for fields in sets {
      guard let said = Self.said(fields) else { return nil }
      self.sets.append(said)
    }
  }

  /// IDs and keys in the order of the model's, which sorts by them.
  static func id(_ place: Int) -> Digest {
    place < 0
      ? genesis.id
      : Digest(words: (UInt64(place + 1), UInt64(place &* 0x9e37_79b9 + 7), UInt64(place), 2))
  }

  static func key(_ place: Int) -> PublicKey {
    PublicKey(words: (UInt64(place + 1), 0, 0, 3))
  }

  private static func changeset(_ place: Int, _ fields: [Any]) -> Changeset? {
    guard fields.count == 6, let under = fields[0] as? Int, let author = fields[1] as? Int,
      let time = fields[2] as? Int, let writes = fields[3] as? [[Any]],
      let floors = fields[5] as? [[Any]],
      let signature = Signature([UInt8](repeating: 0, count: 64))
    else { return nil }
    var out = Changeset(
      id: id(place), body: [UInt8](repeating: 0, count: 8),
      endorsements: [Endorsement(key: key(author), signature: signature)], clusterSet: genesis.id,
      under: id(under), author: key(author), time: HybridTime(rawValue: UInt64(time)))
    for fields in writes {
      guard let register = fields[0] as? String, let counter = fields[2] as? Int,
        let context = fields[3] as? [[Int]],
        let vector = VersionVector(
          sorted: context.map { .init(author: key($0[0]), counter: UInt64($0[1])) })
      else { return nil }
      out.writes.append(
        Write(
          path: "slice/\(register)", value: (fields[1] as? Int).map { .integer(Int64($0)) },
          counter: UInt64(counter), context: vector))
    }
    if let grant = fields[4] as? [Any], let subject = grant[0] as? Int,
      let letters = grant[1] as? String
    {
      let capabilities: [Capability] = letters.compactMap {
        switch $0 {
        case "g": .grant
        case "a": .admit
        case "w": ModelAuthority.write
        default: ModelAuthority.once
        }
      }
      out.grant = Grant(subject: key(subject), capabilities: capabilities.sorted())
    }
    for fields in floors {
      guard let target = fields[0] as? Int, let keep = fields[2] as? [Int] else { return nil }
      let time = (fields[1] as? Int).map { HybridTime(rawValue: UInt64($0)) } ?? .max
      out.floors.append(Floor(grant: id(target), time: time, keep: keep.map(id)))
    }
    return out
  }

  private static func said(_ fields: [Any]) -> Said? {
    guard fields.count == 5, let order = fields[0] as? [Int], let counting = fields[1] as? String,
      let evidence = fields[2] as? String, let compared = fields[3] as? String,
      let view = fields[4] as? [[Any]]
    else { return nil }
    var shown: [String: CountingOracle.Shown] = [:]
    for register in view {
      guard let name = register[0] as? String, let rest = register[2] as? [Any] else { return nil }
      func value(_ any: Any) -> Value? { (any as? Int).map { .integer(Int64($0)) } }
      shown["slice/\(name)"] = .init(effective: value(register[1]), conflicts: rest.map(value))
    }
    return Said(
      order: order, counting: bits(counting), evidence: bits(evidence), compared: bits(compared),
      view: shown)
  }

  private static func bits(_ hex: String) -> Set<Digest> {
    var out: Set<Digest> = []
    for (i, digit) in hex.reversed().enumerated() {
      guard let nibble = digit.hexDigitValue else { continue }
      for bit in 0..<4 where nibble >> bit & 1 == 1 { out.insert(id(i * 4 + bit)) }
    }
    return out
  }

  // MARK: Comparing

  /// What the state says differently from the model, in words; `nil` where they agree.
  func disagreement(_ rules: CountingRules = CountingRules()) -> String? {
    for (i, said) in sets.enumerated() {
      var limits = StateLimits()
      limits.dropsSuperseded = false
      var state = ReplicatedState(
        genesis: Self.genesis, crypto: Fake.crypto, cluster: nil, limits: limits,
        authority: ModelAuthority(), rules: rules)
      var changes = StateChanges()
      for place in said.order {
        _ = state.ingest(changesets[place], now: Fake.now, verified: true, changes: &changes)
      }
      if state.counting != said.counting { return "set \(i): counting" }
      if state.evidence != said.evidence { return "set \(i): evidence" }
      if Set(state.compared(.clusterset)) != said.compared { return "set \(i): compared" }
      if state.shown(.clusterset) != said.view { return "set \(i): view" }
    }
    return nil
  }

  /// The same of the tests' own oracle.
  func oracleDisagreement() -> String? {
    for (i, said) in sets.enumerated() {
      let oracle = CountingOracle(
        said.order.map { changesets[$0] }, genesis: Self.genesis, authority: ModelAuthority())
      if oracle.counting != said.counting { return "set \(i): counting" }
      if oracle.evidence != said.evidence { return "set \(i): evidence" }
      if oracle.compared(.clusterset) != said.compared { return "set \(i): compared" }
      if oracle.view(.clusterset) != said.view { return "set \(i): view" }
    }
    return nil
  }
}
