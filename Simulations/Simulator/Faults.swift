internal import Base
internal import Peer

/// What goes wrong with machines and links.
extension Simulation {
  /// The process or the machine dies. Of what was not synced any part may have reached the disk.
  public func crash(_ index: Int) {
    let machine = machines[index]
    guard machine.isUp else { return }
    note("peer \(index) crashes")
    crashed(machine)
    for write in machine.disk.unsynced {
      let kept = write.changesets.filter { _ in diskRNG.happens(0.5) }
      let forgotten = write.forgotten.filter { _ in diskRNG.happens(0.5) }
      machine.disk.apply(kept, forgotten)
    }
    machine.disk.unsynced = []
    connections.drop(index)
  }

  /// Starts it again from its disk, with a higher boot epoch.
  public func restart(_ index: Int) {
    guard !machines[index].isUp else { return }
    note("peer \(index) starts again")
    let machine = machines[index]
    machine.disk.bootEpoch = max(machine.disk.bootEpoch, machine.configuration.bootEpoch) + 1
    machine.configuration.bootEpoch = machine.disk.bootEpoch
    machine.configuration.seed = nextSeed()
    boot(index)
  }

  /// Starts it from a copy of its disk that was made earlier: a backup, a returned laptop.
  public func restart(_ index: Int, from old: Disk) {
    crash(index)
    machines[index].disk = old
    machines[index].disk.unsynced = []
    machines[index].configuration.bootEpoch = old.bootEpoch
    machines[index].configuration.isRestored = true
    restart(index)
    machines[index].configuration.isRestored = false
  }

  public func leave(_ index: Int) {
    note("peer \(index) leaves")
    handle(.leave, at: index)
  }

  /// Stands still, as a frozen virtual machine does; what arrives meanwhile waits.
  public func pause(_ index: Int, for duration: Duration) {
    note("peer \(index) stands still for \(duration)")
    machines[index].pausedUntil = max(machines[index].pausedUntil, now + duration)
  }

  /// Splits the machines: each belongs to the group given for it.
  public func partition(_ group: (Int) -> Int) {
    for index in network.groups.indices { network.groups[index] = group(index) }
    note("the fleet falls into \(Set(network.groups).count) parts")
    connections.dropAll()
  }

  /// What some send to others is lost; nothing is lost in the other direction.
  public func cut(from: Set<Int>, to: Set<Int>) {
    note("\(from.count) peers are not heard by \(to.count) others")
    network.cuts.append(.init(isFrom: from, isTo: to))
  }

  /// Ends partitions and cuts.
  public func heal() {
    network.cuts = []
    let wasSplit = Set(network.groups).count > 1
    for index in network.groups.indices { network.groups[index] = 0 }
    connections.dropAll()
    note(wasSplit ? "the parts see each other again" : "all cuts end")
  }

  /// Whether two machines run and can talk both ways.
  public func areConnected(_ a: Int, _ b: Int) -> Bool {
    machines[a].isUp && machines[b].isUp && !network.isCut(a, b) && !network.isCut(b, a)
  }
}
