internal import Base
internal import Membership
internal import Peer
internal import Replication

/// What a member does that is none of the protocol's business.
extension Rehearsal {
  func replay(_ machine: Int) {
    for old in sample.suffix(50) {
      for target in simulation.machines where target.index != machine {
        simulation.sendDatagram(
          old.messages, from: simulation.machines[machine], to: target.id)
      }
    }
  }

  func forge(_ machine: Int) {
    let admin = 1 + rng.below(2)
    let (signer, grant) = admins[admin]
    let path = "slice/s\(rng.below(6))"
    guard let write = Write(path: path, value: nil, author: signer.publicKey, after: .init())
    else { return }
    var forged = set.signedApart(
      by: signer, under: grant, writes: [write], at: simulation.wallMilliseconds)
    // Another's key signs it.
    let liar = simulation.machines[machine].configuration.signer
    forged.endorsements = [
      Endorsement(key: signer.publicKey, signature: liar.sign(forged.signedBytes))
    ]
    // And what an own key may not write.
    let stolen = set.signedApart(
      by: liar, under: set.genesis.id, writes: [write], at: simulation.wallMilliseconds)
    // In its own name under another's grant, and in the root's name.
    let usurped = set.signedApart(
      by: liar, under: grant, writes: [write], at: simulation.wallMilliseconds)
    var asRoot = set.signedApart(
      by: set.root, under: set.genesis.id,
      writes: Write(path: path, value: nil, author: set.root.publicKey, after: .init()).map { [$0] }
        ?? [], at: simulation.wallMilliseconds + 1)
    asRoot.endorsements = [
      Endorsement(key: set.root.publicKey, signature: liar.sign(asRoot.signedBytes))
    ]
    let lies = [forged, stolen, usurped, asRoot]
    invariants.forbidden += lies.map(\.id)
    let evidence = forgedRecord(by: liar)
    for target in simulation.machines where target.index != machine {
      for lie in lies {
        simulation.sendDatagram(
          [.sync(.push([lie]))], from: simulation.machines[machine], to: target.id)
      }
      if let evidence {
        simulation.sendDatagram(
          [.membership(.evidence([.record(evidence)]))], from: simulation.machines[machine],
          to: target.id)
      }
    }
  }

  /// "It left", in another's name.
  private func forgedRecord(by liar: Signer) -> MemberRecord? {
    let victim = simulation.machines[rng.below(plan.machines)]
    guard let known = victim.process?.peer.membership.record else { return nil }
    let next = Incarnation(bootEpoch: known.incarnation.bootEpoch + 1, counter: 0)
    return try? MemberRecord(
      subject: victim.id, incarnation: next, presence: .left, addresses: [],
      signature: liar.sign([1]))
  }

  /// The last words of who is expelled: the accused knows already that they mean nothing.
  func accuse(_ accused: Int, by liar: Int) {
    let accuser = simulation.machines[liar]
    guard accuser.isUp, let known = simulation.machines[accused].process?.peer.membership.record
    else { return }
    let configuration = accuser.configuration
    let accusation = Accusation(
      subject: known.subject, incarnation: known.incarnation, accuser: accuser.id,
      clusterSet: configuration.genesis.id, signer: configuration.signer)
    for target in simulation.machines where target.index != liar && target.index != accused {
      simulation.sendDatagram(
        [.membership(.evidence([.accusation(accusation)]))], from: accuser, to: target.id)
    }
  }

  func equivocate(_ admin: Int, _ register: Int, _ at: Int, _ other: Int) {
    guard admins.indices.contains(admin), at != other, simulation.machines[other].isUp else {
      return
    }
    let (signer, grant) = admins[admin]
    var told: [(Changeset, Int)] = []
    for (value, machine) in [(1, at), (2, other)] {
      guard let state = simulation.machines[at].process?.peer.state,
        let write = state.write(
          "slice/s\(register)", ["cidr": .string("10.25\(value).0.0/16")],
          author: signer.publicKey)
      else { return }
      let time = simulation.wallMilliseconds
      told.append((set.signedApart(by: signer, under: grant, writes: [write], at: time), machine))
    }
    for (changeset, machine) in told { push(changeset, machine, by: admin) }
  }

  func withhold(_ machine: Int) {
    simulation.machines[machine].tamper = { message in
      switch message {
      case .sync(.push), .sync(.delivery), .sync(.symbols), .sync(.ranges), .sync(.announce): nil
      default: message
      }
    }
  }

  /// As fast as its link allows, for a moment.
  func flood(_ machine: Int) {
    let target = (machine + 1 + rng.below(plan.machines - 1)) % plan.machines
    for _ in 0..<3_000 {
      simulation.sendDatagram(
        [HostileMessages.any(using: &rng)], from: simulation.machines[machine],
        to: simulation.machines[target].id)
    }
  }

  func garble(_ machine: Int) {
    for _ in 0..<20 {
      let message = HostileMessages.any(using: &rng)
      for target in simulation.machines where target.index != machine {
        simulation.sendFrame(message, from: simulation.machines[machine], to: target.id)
      }
    }
  }
}
