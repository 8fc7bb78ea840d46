internal import Glibc

/// Settings of the network namespace that the calling thread is in (`/proc/sys/net`).
public enum NetworkSetting {
  private static func path(_ name: String) -> String { "/proc/sys/net/\(name)" }

  /// - Returns: `nil`: the kernel has no such setting.
  public static func read(_ name: String) -> String? {
    guard let bytes = try? Files.read(path(name), limit: 4096) else { return nil }
    return String(decoding: bytes.prefix { $0 > 0x20 }, as: UTF8.self)
  }

  /// Passes over what this kernel does not have and what is read-only here.
  public static func write(_ name: String, _ value: String) throws(SystemError) {
    guard let old = read(name), old != value else { return }
    let file = open(path(name), O_WRONLY | O_CLOEXEC)
    guard file >= 0 else { return }
    defer { close(file) }
    try Files.write(Array(value.utf8), to: file, name)
  }

  /// Lets IPv6 addresses be used on a link of ours at once, and nobody else give it any.
  public static func useIPv6(on device: String) throws(SystemError) {
    for (name, value) in [("disable_ipv6", "0"), ("accept_ra", "0"), ("accept_dad", "0")] {
      try write("ipv6/conf/\(device)/\(name)", value)
    }
  }

  public static var hasIPv6: Bool { Files.exists(path("ipv6/conf")) }

  /// Why addresses of IPv6 cannot be used in this namespace; `nil`: they can.
  public static var missingIPv6: String? {
    switch read("ipv6/conf/all/disable_ipv6") {
    case "0": nil
    case nil: "the kernel has no IPv6"
    default: "IPv6 is off in this network (net.ipv6.conf.all.disable_ipv6)"
    }
  }
}
