#if canImport(Glibc)
  internal import Glibc
#else
  internal import Darwin
#endif

/// What this process has had of a core, for the figures of speed; nothing in a run depends on it.
public enum CoreClock {
  public static var seconds: Double {
    var time = timespec()
    guard clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 else { return 0 }
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
