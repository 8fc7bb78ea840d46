import ArgumentParser
import Runtime

struct Delete: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Delete a slice, or remove a cluster.",
    discussion: """
      A slice in which namespaces still take part, or a cluster that is still a member of slices, is \
      refused unless --force. Removing a cluster takes back its admission and ends the grants of its \
      peers: it can do nothing any more, and says so to its own people.

      Example:
        starling delete slice blue
        starling delete cluster eu-1 --force
      """)

  enum Kind: String, ExpressibleByArgument, CaseIterable {
    case slice, cluster
  }

  @Argument(help: "slice or cluster.")
  var kind: Kind

  @Argument(help: "Its name.")
  var name: String

  @Flag(help: "Even where it is in use.")
  var force = false

  @OptionGroup var change: ChangeOptions
  @OptionGroup var common: CommonOptions

  func run() async throws {
    let session = try common.session()
    switch kind {
    case .slice:
      var request = change.request()
      request.needsConfirmation = true
      try await session.change(request) { snapshot throws(AdminError) in
        try ChangePlan(deleting: name, from: snapshot, force: force)
      }
    case .cluster:
      try await session.remove(cluster: name, force: force, change.request())
    }
  }
}
