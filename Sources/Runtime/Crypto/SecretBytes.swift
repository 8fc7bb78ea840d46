internal import CSodium

/// Secret bytes in memory that is locked, kept out of core dumps, fenced by guard pages and wiped at
/// the end. Each costs three pages or more, so it is for the few long-lived secrets.
final class SecretBytes: @unchecked Sendable {
  // Written only in `init`.
  private let pointer: UnsafeMutableRawPointer
  let count: Int

  init(count: Int, fill: (UnsafeMutablePointer<UInt8>) -> Void) {
    Sodium.start()
    guard let pointer = sodium_malloc(count) else {
      preconditionFailure("no memory for a key")
    }
    self.pointer = pointer
    self.count = count
    fill(pointer.assumingMemoryBound(to: UInt8.self))
    sodium_mprotect_readonly(pointer)
  }

  convenience init(_ bytes: [UInt8]) {
    self.init(count: bytes.count) { target in
      for (index, byte) in bytes.enumerated() { target[index] = byte }
    }
  }

  deinit {
    sodium_free(pointer)
  }

  func withBytes<T>(_ body: (UnsafePointer<UInt8>) -> T) -> T {
    body(UnsafePointer(pointer.assumingMemoryBound(to: UInt8.self)))
  }
}
