internal import Base
internal import Slices

/// Slice addresses that were given out, kept in the store so that they survive a restart: one line
/// for each, `slice block key address`.
enum AllocationStore {
  static let name = "allocations"

  static func load(from store: ChangesetStore) throws(StorageError) -> [String: AddressAllocator] {
    let text = String(decoding: try store.value(name) ?? [], as: UTF8.self)
    var blocks: [String: IPPrefix] = [:]
    var persisted: [String: [AddressAllocator.Key: IPAddress]] = [:]
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: " ").map(String.init)
      guard parts.count == 4, let block = IPPrefix(parts[1]),
        let key = AddressAllocator.Key(parts[2]), let address = IPAddress(parts[3])
      else { continue }
      blocks[parts[0]] = block
      persisted[parts[0], default: [:]][key] = address
    }
    return blocks.reduce(into: [:]) { out, entry in
      out[entry.key] = AddressAllocator(
        block: entry.value, persisted: persisted[entry.key] ?? [:])
    }
  }

  static func text(_ allocators: [String: AddressAllocator]) -> String {
    allocators.sorted { $0.key < $1.key }.map { slice, allocator in
      allocator.allocations.map { "\(slice) \(allocator.block) \($0.key) \($0.value)\n" }
        .sorted().joined()
    }.joined()
  }
}
