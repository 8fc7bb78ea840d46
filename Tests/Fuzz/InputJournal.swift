import Glibc

/// The input under test, in a memory-mapped file: it survives the crash that it causes, and noting
/// it costs a copy and no system call.
final class InputJournal {
  static let capacity = 1 << 20
  private let path: String
  private let memory: UnsafeMutableRawBufferPointer
  private let descriptor: Int32

  init(target: String) throws(UsageError) {
    path = "fuzz-\(target).bin"
    descriptor = open(path, O_RDWR | O_CREAT, 0o644)
    guard descriptor >= 0, ftruncate(descriptor, off_t(Self.capacity)) == 0,
      let base = mmap(nil, Self.capacity, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0),
      base != MAP_FAILED
    else {
      throw UsageError(text: "cannot write \(path) here: \(String(cString: strerror(errno)))")
    }
    memory = UnsafeMutableRawBufferPointer(start: base, count: Self.capacity)
  }

  /// The first 4 bytes say how long the input is, little-endian.
  func note(_ input: [UInt8]) {
    let count = min(input.count, Self.capacity - 4)
    memory.storeBytes(of: UInt32(count).littleEndian, as: UInt32.self)
    input.withUnsafeBytes { bytes in
      memory.baseAddress.map { base in
        (base + 4).copyMemory(from: bytes.baseAddress ?? UnsafeRawPointer(base), byteCount: count)
      }
    }
  }

  func remove() {
    unlink(path)
  }

  deinit {
    munmap(memory.baseAddress, Self.capacity)
    close(descriptor)
  }
}
