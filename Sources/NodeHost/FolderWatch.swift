internal import Glibc

/// Tells when a file of a folder was written or put in place (inotify(7)). What it misses, a look at
/// intervals still finds.
public struct FolderWatch: ~Copyable {
  private let file: Descriptor

  public init(_ folder: String) throws(SystemError) {
    let opened = Descriptor(inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC)))
    let events = UInt32(IN_CLOSE_WRITE | IN_MOVED_TO)
    let result = inotify_add_watch(opened.number, folder, events)
    file = opened
    guard result >= 0 else { throw SystemError(folder) }
  }

  public var number: Int32 { file.number }

  /// Takes what was told; what it was does not matter.
  public func drain() {
    var buffer = [UInt8](repeating: 0, count: 4096)
    while read(file.number, &buffer, buffer.count) > 0 {}
  }
}
