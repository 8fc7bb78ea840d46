internal import Base

extension TunnelControl {
  /// Whether the gateway of one link may hand on what is meant for another's. It has a direct session
  /// in the same slice, so nothing ever goes over two relays.
  func isRelay(_ relay: Int, for number: Int) -> Bool {
    guard relay != number, relay < links.count, number < links.count, let link = links[relay],
      link.config.id.slice == links[number]?.config.id.slice,
      let session = session(link.active), session.target.relay == nil
    else { return false }
    return true
  }

  /// Links whose gateways could hand on what is meant for this one, the nearest first.
  func relays(for number: Int) -> [Int] {
    let answering = links.indices.compactMap { relay -> (Duration, Int)? in
      guard isRelay(relay, for: number), let session = session(links[relay]?.active),
        session.liveness.alive, !session.liveness.suspect
      else { return nil }
      return (session.liveness.smoothed ?? .seconds(1), relay)
    }
    return answering.sorted { $0 < $1 }.prefix(TunnelLimits.relays).map(\.1)
  }

  /// A relayed link with addresses of its own is tried directly from time to time.
  func wantsDirect(_ link: Link, _ now: Instant) -> Bool {
    guard let session = session(link.active), session.target.relay != nil else { return false }
    return !link.config.endpoints.isEmpty && link.directAt <= now
      && now < link.directAt + timing.directFor
  }

  /// Ourselves in every slice, and the gateways of all links.
  var relayEntries: [RelayEntry] {
    var entries: [RelayAddress: RelayEntry] = [:]
    for (id, number) in numbers.sorted(by: { $0.key < $1.key }) {
      let own = RelayAddress(slice: id.slice, gateway: name, crypto)
      entries[own] = RelayEntry(address: own, slice: id.slice, link: nil)
      guard let address = links[number]?.address, entries[address] == nil else { continue }
      entries[address] = RelayEntry(address: address, slice: id.slice, link: number)
    }
    return entries.values.sorted()
  }

  /// Tells which session carries each link, where that changed.
  mutating func publishActive(_ effects: inout [TunnelEffect]) {
    for number in links.indices {
      let now = session(links[number]?.active)?.id
      guard active[number] != now else { continue }
      active[number] = now
      effects.append(.active(link: number, now))
    }
  }
}
