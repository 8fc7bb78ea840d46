#if canImport(Glibc)
  import Glibc
#endif

/// Asks the allocator for huge pages. Thousands of peers touch gigabytes in no order, and a fifth of the
/// time would go to misses of the page table.
enum HugePages {
  private static let tunables = "GLIBC_TUNABLES"

  /// Starts the program anew where it runs without: glibc reads its tunables before anything else.
  /// Where that does not work all goes on, slower.
  static func request() {
    #if canImport(Glibc)
      guard getenv(tunables) == nil else { return }
      setenv(tunables, "glibc.malloc.hugetlb=1", 0)
      execv("/proc/self/exe", CommandLine.unsafeArgv)
    #endif
  }
}
