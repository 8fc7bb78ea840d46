#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// The pages of code and constants that a process has mapped.
///
/// Starting and joining touch most of the binary once: 18 of 27 MB of code that an idle peer had
/// resident were not used again in half a minute. On a small edge machine that counts.
public enum CodePages {
  /// Gives mapped code and constants back to the kernel; what is still in use is mapped again when it
  /// is next touched, from the page cache. Pages that anybody has written are never given back.
  ///
  /// - Returns: bytes of the mappings, resident or not.
  @discardableResult public static func release() -> Int {
    guard let maps = ProcessMetrics.contents(of: "/proc/self/smaps") else { return 0 }
    var released = 0
    for range in unwrittenRanges(maps) {
      guard let start = UnsafeMutableRawPointer(bitPattern: range.lowerBound) else { continue }
      if madvise(start, range.count, Int32(MADV_DONTNEED)) == 0 { released += range.count }
    }
    return released
  }

  /// The addresses of what a `/proc/self/smaps` (proc(5)) lists as private mappings of files, not
  /// writable, and without a page of their own: relocated constants have some.
  static func unwrittenRanges(_ maps: String) -> [Range<UInt>] {
    var ranges: [Range<UInt>] = []
    var candidate: Range<UInt>?
    for line in maps.split(separator: "\n") {
      let fields = line.split(separator: " ", maxSplits: 5)
      guard let first = fields.first else { continue }
      if first == "Anonymous:" {
        if let candidate, fields.count > 1, fields[1] == "0" { ranges.append(candidate) }
        candidate = nil
      } else if !first.hasSuffix(":") {
        candidate = mapping(fields)
      }
    }
    return ranges
  }

  private static func mapping(_ fields: [Substring]) -> Range<UInt>? {
    guard fields.count == 6, fields[1] == "r-xp" || fields[1] == "r--p",
      fields[5].first(where: { $0 != " " }) == "/"
    else { return nil }
    let ends = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
    guard ends.count == 2, ends[0] < ends[1] else { return nil }
    return ends[0]..<ends[1]
  }
}
