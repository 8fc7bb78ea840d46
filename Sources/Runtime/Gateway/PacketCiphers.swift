internal import Tunnel

/// Ciphers beside a table of sessions, by the table's cipher index. Owned by hand: a plane frees them
/// when its keys go.
struct PacketCiphers {
  private let encrypts: Bool
  private var ciphers: [PacketCipher?] = []

  init(encrypts: Bool) {
    self.encrypts = encrypts
  }

  subscript(_ index: Int) -> PacketCipher? {
    index < ciphers.count ? ciphers[index] : nil
  }

  /// Puts ciphers at the indices from `first` on; there may be up to `capacity` in all.
  mutating func install(_ keys: [LaneKey], at first: Int, capacity: Int) {
    while ciphers.count < capacity { ciphers.append(nil) }
    for (lane, key) in keys.enumerated() {
      ciphers[first + lane]?.free()
      ciphers[first + lane] = PacketCipher(key, encrypts: encrypts)
    }
  }

  mutating func free(_ indices: Range<Int>) {
    for index in indices where index < ciphers.count {
      ciphers[index]?.free()
      ciphers[index] = nil
    }
  }

  mutating func freeAll() {
    free(ciphers.indices)
  }
}
