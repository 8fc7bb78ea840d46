internal import Glibc
internal import Synchronization
internal import Tunnel

extension TransmitPlane {
  /// Sends what waits.
  func flush(_ trains: inout DatagramTrains) {
    var first = 0
    while first < trains.count {
      guard trains[first].isWhole else {
        _ = sendSingly(trains, first)
        first += 1
        continue
      }
      let count = trains.layOutWholes(from: first)
      trains.wholes.send(port, count: count) { index, code in
        giveUp(trains, first + index, code)
      }
      first += count
    }
    trains.removeAll()
  }

  /// Where the path cannot cut datagrams (no checksum offload, IPsec, ...) they go one by one from
  /// now on; anything else is a loss.
  private func giveUp(_ trains: DatagramTrains, _ index: Int, _ code: Int32) {
    let train = trains[index]
    guard train.datagrams > 1, code == EIO || code == EINVAL || code == EMSGSIZE else {
      return fail(train.session, train.datagrams, code)
    }
    // Too big is too big either way, and says nothing of cutting.
    if sendSingly(trains, index) < train.datagrams {
      state.withLock { $0.sendSingly(train.session) }
    }
  }

  /// Gives how many were refused.
  private func sendSingly(_ trains: DatagramTrains, _ index: Int) -> Int {
    var refusals = 0
    let session = trains[index].session
    trains.singles.send(port, count: trains.layOutSingles(index)) { _, code in
      fail(session, 1, code)
      refusals += 1
    }
    return refusals
  }
}
