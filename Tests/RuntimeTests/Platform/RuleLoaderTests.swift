import Base
import Slices
import Testing

@testable import Runtime

@Suite struct RuleLoaderTests {
  private func slice(_ name: String, sources: Int = 1) throws -> NodeSlice {
    let cidr = try #require(IPPrefix("10.11.0.0/16"))
    let block = try #require(IPPrefix("10.11.0.0/24"))
    let address = try #require(IPAddress("10.11.0.1"))
    return NodeSlice(
      slice: name, device: "st-\(name)", gatewayAddress: address, cidr: cidr, block: block,
      nodeAddress: address, sources: (0..<sources).map { IPAddress(v4: UInt32($0)) }, endpoints: [])
  }

  /// A kernel that refuses every script that speaks of a slice `bad` with two sources.
  private final class Kernel {
    var loaded: [String] = []
    var runs = 0

    func run(_ action: RuleLoader.Action, _ script: String) throws(CommandError) {
      runs += 1
      if script.contains("src-bad"), script.contains("{ 0.0.0.0, 0.0.0.1 }") {
        throw CommandError(command: "nft", reason: "too bad")
      }
      if action == .load { loaded.append(script) }
    }
  }

  @Test func oneBadSliceHoldsUpNobodyAndIsNotTriedAgain() async throws {
    let kernel = Kernel()
    var loader = RuleLoader()
    let good = try [slice("blue"), slice("bad")]
    try await loader.load(good, run: kernel.run)
    let next = try [slice("blue", sources: 3), slice("bad", sources: 2)]
    try await loader.load(next, run: kernel.run)
    #expect(loader.refused.keys.sorted() == ["bad"])
    #expect(loader.refused["bad"]?.reason == "too bad")
    // The good one is in force as it should be, the bad one as it was.
    #expect(loader.inForce == ["blue": next[0], "bad": good[1]])
    #expect(kernel.loaded.last == NodeRules.script([next[0], good[1]]))
    let runs = kernel.runs
    try await loader.load(next, run: kernel.run)
    #expect(kernel.runs == runs)
    try await loader.load(good, run: kernel.run)
    #expect(loader.refused.isEmpty)
    #expect(kernel.loaded.last == NodeRules.script(good))
    try await loader.load([], run: kernel.run)
    #expect(kernel.loaded.last == NodeRules.removal)
  }

  @Test func whatIsNobodysFaultIsThrownAndChangesNothing() async throws {
    var loader = RuleLoader()
    let slices = try [slice("blue")]
    await #expect(throws: CommandError.self) {
      try await loader.load(slices) { action, _ throws(CommandError) in
        if action == .load { throw CommandError(command: "nft", reason: "not root") }
      }
    }
    #expect(loader.refused.isEmpty && loader.inForce.isEmpty)
  }
}
