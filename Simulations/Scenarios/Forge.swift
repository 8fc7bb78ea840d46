internal import Base
internal import Membership
internal import Peer
internal import Replication
internal import Simulator

extension Scenario {
  /// An admitted member says what is not so, in every way that it can without others' keys.
  static let forge = Scenario(
    name: "forge", summary: "a member spreads forged, replayed and stale evidence", nodes: 60,
    least: 6
  ) { parameters in
    let fleet = Fleet("forge", parameters)
    fleet.settle()
    let simulation = fleet.simulation
    let liar = simulation.machines[0]
    // Words that were true once: a member's record before it restarted, a value before it changed.
    let restarted = simulation.machines[1]
    let stale = simulation.peer(2)?.membership.member(restarted.id)?.record
    let overwritten = fleet.change("slice/blue", ["cidr": "10.1.0.0/16"])
    fleet.push(overwritten, at: 3)
    simulation.crash(1)
    fleet.run(for: .seconds(15))
    simulation.restart(1)
    fleet.push(fleet.change("slice/blue", ["cidr": "10.2.0.0/16"]), at: 4)
    fleet.run(for: .seconds(30))
    let before = fleet.views
    fleet.recorder.forgetTransitions()
    for _ in 0..<60 {
      for victim in simulation.machines.dropFirst().prefix(20) {
        let lies = fleet.lies(about: victim, stale: stale, replayed: overwritten)
        for machine in simulation.machines.dropFirst() where machine.index % 3 == 0 {
          for lie in lies { simulation.sendDatagram([lie], from: liar, to: machine.id) }
        }
      }
      fleet.run(for: .seconds(1))
    }
    if !fleet.recorder.transitions.isEmpty {
      fleet.violate("\(fleet.recorder.transitions.count) changes of mind followed from lies")
    }
    if fleet.views != before { fleet.violate("a view changed") }
    if fleet.recorder.rejections[.badSignature, default: 0] == 0 {
      fleet.violate("no forged signature was counted")
    }
    return fleet
  }
}

extension Fleet {
  /// What each peer believes: incarnations of all members, and the registers.
  fileprivate var views: [String] {
    simulation.running.map { index in
      guard let peer = simulation.machines[index].process?.peer else { return "" }
      return "\(peer.membership.viewHash) \(peer.state.viewHash(.clusterset))"
    }
  }

  fileprivate func lies(
    about victim: Machine, stale: MemberRecord?, replayed: Changeset
  ) -> [PeerMessage] {
    guard let record = victim.process?.peer.membership.record,
      let nonsense = Signature([UInt8](repeating: 7, count: 64))
    else { return [] }
    var evidence: [Membership.Evidence] = []
    let accuser = simulation.machines[random(simulation.count)].id
    // In others' names, about incarnations that are and that are not, and about itself.
    for (subject, incarnation, author) in [
      (victim.id, record.incarnation, accuser),
      (victim.id, Incarnation(bootEpoch: record.incarnation.bootEpoch + 9, counter: 0), accuser),
      (victim.id, record.incarnation, victim.id),
    ] {
      evidence.append(
        .accusation(
          Accusation(
            subject: subject, incarnation: incarnation, accuser: author, signature: nonsense)))
    }
    let higher = Incarnation(bootEpoch: record.incarnation.bootEpoch + 1, counter: 0)
    for presence in [MemberRecord.Presence.alive, .left] {
      let forged = try? MemberRecord(
        subject: victim.id, incarnation: higher, presence: presence, addresses: ["9.9.9.9:1"],
        signature: nonsense)
      if let forged { evidence.append(.record(forged)) }
    }
    if let stale { evidence.append(.record(stale)) }
    var changeset = change("slice/forged", ["cidr": "10.9.0.0/16"])
    changeset.endorsements = [Endorsement(key: changeset.author, signature: nonsense)]
    return [
      .membership(.evidence(evidence)), .sync(.push([changeset])), .sync(.push([replayed])),
      .membership(.relayedAck(sequence: 8)), .membership(.nack(sequence: 16)),
    ]
  }
}
