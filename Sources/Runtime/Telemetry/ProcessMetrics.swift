#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// What the kernel says of this process, under the names that Prometheus' own libraries use.
public enum ProcessMetrics {
  public struct Reading: Hashable, Sendable {
    public var residentBytes: UInt64
    public var virtualBytes: UInt64
    public var cpuSeconds: Double
    public var threads: UInt64
    public var openFiles: UInt64
    public var maximumFiles: UInt64
    /// Since 1970; 0 where the kernel does not say.
    public var startSeconds: Double
  }

  /// Adds the `process_` metrics; they are read at each exposition.
  public static func register(in registry: MetricsRegistry) {
    registry.collect { registry in
      guard let reading = read() else { return }
      func gauge(_ name: String, _ help: String, _ value: Double) {
        registry.gauge("process_" + name, help: help).set(value)
      }
      gauge("resident_memory_bytes", "Resident memory.", Double(reading.residentBytes))
      gauge("virtual_memory_bytes", "Virtual memory.", Double(reading.virtualBytes))
      registry.total("process_cpu_seconds_total", help: "User and system CPU time.")
        .set(reading.cpuSeconds)
      gauge("threads", "Threads.", Double(reading.threads))
      gauge("open_fds", "Open file descriptors.", Double(reading.openFiles))
      gauge("max_fds", "Limit of open file descriptors.", Double(reading.maximumFiles))
      gauge("start_time_seconds", "Start, seconds since 1970.", reading.startSeconds)
    }
  }

  /// `nil` where there is no /proc.
  public static func read() -> Reading? {
    // The command's name, in parentheses, may itself hold spaces and parentheses: proc(5).
    guard let stat = contents(of: "/proc/self/stat"), let end = stat.lastIndex(of: ")") else {
      return nil
    }
    // After the name: state is field 3, so index 0 is field 3.
    let fields = stat[stat.index(after: end)...].split(separator: " ")
    guard fields.count > 21, let user = UInt64(fields[11]), let system = UInt64(fields[12]),
      let threads = UInt64(fields[17]), let start = UInt64(fields[19]),
      let size = UInt64(fields[20]), let pages = UInt64(fields[21])
    else { return nil }
    let ticks = Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
    var limit = rlimit()
    let limited = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0
    return Reading(
      residentBytes: pages * UInt64(max(1, sysconf(Int32(_SC_PAGESIZE)))), virtualBytes: size,
      cpuSeconds: Double(user + system) / ticks, threads: threads, openFiles: openFiles(),
      maximumFiles: limited ? UInt64(limit.rlim_cur) : 0,
      startSeconds: bootSeconds().map { $0 + Double(start) / ticks } ?? 0)
  }

  private static func bootSeconds() -> Double? {
    guard let stat = contents(of: "/proc/stat") else { return nil }
    let line = stat.split(separator: "\n").first { $0.hasPrefix("btime ") }
    return line.flatMap { Double($0.dropFirst(6)) }
  }

  private static func openFiles() -> UInt64 {
    guard let folder = opendir("/proc/self/fd") else { return 0 }
    defer { closedir(folder) }
    var count: UInt64 = 0
    while readdir(folder) != nil { count += 1 }
    // Without ".", ".." and the descriptor that reads.
    return count > 3 ? count - 3 : 0
  }

  static func contents(of path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16_384)
    while bytes.count < 1 << 20 {
      let count = chunk.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
      guard count > 0 else { break }
      bytes.append(contentsOf: chunk.prefix(count))
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
