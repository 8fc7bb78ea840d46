import ArgumentParser
import Runtime

struct Drain: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Give a cluster's endpoints no new flows; established ones finish.",
    discussion: """
      Every cluster stops to answer names with, and to balance to, what the cluster exports. Services \
      that nobody else exports are named first: they stop to answer. `starling undrain` puts it back.

      Example, before an upgrade of eu-1:
        starling drain eu-1 --wait
      """)

  @Argument(help: "The cluster.") var cluster: String
  @OptionGroup var change: ChangeOptions
  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await common.session().drain(cluster: cluster, true, change.request())
  }
}

struct Undrain: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Use a drained cluster's endpoints again.",
    discussion: """
      Example:
        starling undrain eu-1 --wait
      """)

  @Argument(help: "The cluster.") var cluster: String
  @OptionGroup var change: ChangeOptions
  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await common.session().drain(cluster: cluster, false, change.request())
  }
}
