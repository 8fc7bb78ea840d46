import Testing

@testable import Runtime

@Suite struct CodePagesTests {
  private func mapping(_ line: String, anonymous: Int) -> String {
    "\(line)\nSize: 4096 kB\nRss: 900 kB\nAnonymous: \(anonymous) kB\nVmFlags: rd mr mw me\n"
  }

  @Test func onlyWhatNobodyCanHaveWrittenIsGivenBack() {
    let code = "555500000000-555500400000 r-xp 00200000 fe:00 12       /usr/bin/starlingd"
    let constants = "555400000000-555400001000 r--p 00000000 fe:00 12       /usr/bin/a b"
    let kept = [
      "555600000000-555600400000 rw-p 00000000 fe:00 12 /usr/bin/starlingd",
      "555700000000-555700400000 r--s 00000000 fe:00 12 /var/lib/starling/store.db-shm",
      "7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0 [vdso]",
      "7f0000000000-7f0000002000 r-xp 00000000 00:00 0 ",
      "nonsense", "5-4 r-xp 0 0 0 /x", "zz-4 r-xp 0 0 0 /x",
    ].map { mapping($0, anonymous: 0) }.joined()
    #expect(CodePages.unwrittenRanges(kept).isEmpty)
    #expect(CodePages.unwrittenRanges(mapping(code, anonymous: 4)).isEmpty)
    #expect(
      CodePages.unwrittenRanges(
        mapping(code, anonymous: 0) + kept + mapping(constants, anonymous: 0))
        == [0x5555_0000_0000..<0x5555_0040_0000, 0x5554_0000_0000..<0x5554_0000_1000])
  }

  @Test func codeStillRunsAfterwards() {
    #expect(CodePages.release() > 0)
    #expect((0..<1000).reduce(0, +) == 499_500)
  }
}
