import Base

/// Every few seconds one dead member is pinged and one static seed that nobody has is contacted, for
/// ever: so a partition heals by itself however long it lasted. The ping carries the accusations;
/// the member, if it is there, refutes them with its answer.
extension Membership {
  mutating func heal(_ now: Instant, _ effects: inout [Effect]) {
    let period = configuration.healingPeriod
    healingDue = now + period * 9 / 10 + jitter(upTo: period / 5)
    if table.count(.dead) > 0,
      let slot = table.random(using: &rng, where: { $0.state == .dead })
    {
      startProbe(of: slot, .contact, now, &effects)
    }
    contactSeed(&effects)
  }

  private mutating func contactSeed(_ effects: inout [Effect]) {
    let seeds = configuration.seeds
    for _ in seeds.indices {
      let turn = seedTurn % seeds.count
      seedTurn += 1
      let address = seeds[turn]
      guard !record.addresses.contains(address) else { continue }
      if seedHolders[turn] < 0 || !has(seedHolders[turn], address) {
        seedHolders[turn] = table.ring.first { has($0, address) } ?? -1
      }
      guard seedHolders[turn] < 0 else { continue }
      effects.append(.contactSeed(address))
      return
    }
  }

  private func has(_ slot: Int32, _ address: String) -> Bool {
    table[slot].state.isPresent
      && (table[slot].record?.addresses.contains(address) ?? false
        || table.peer(slot).addresses.contains(address))
  }
}
