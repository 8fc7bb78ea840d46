import ArgumentParser
import Runtime

struct Edit: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Change a slice in your editor ($VISUAL, $EDITOR, or vi).",
    discussion: """
      What is wrong is written into the file and the editor opens again. It is sent only if nobody \
      changed the slice meanwhile.

      Example:
        EDITOR=nano starling edit slice blue
      """)

  @Argument(help: "What to edit.", completion: .list(["slice"]))
  var kind: SliceKind

  @Argument(help: "Its name.")
  var name: String

  @OptionGroup var change: ChangeOptions
  @OptionGroup var common: CommonOptions

  func run() async throws {
    let session = try common.session()
    guard let edited = try await session.edit(slice: name) else {
      session.note("nothing was changed")
      return
    }
    var request = change.request(bases: [name: edited.base ?? ""])
    request.ifUnchanged = true
    try await session.change(request) { snapshot throws(AdminError) in
      try ChangePlan(applying: [edited], to: snapshot)
    }
  }
}

/// Kinds that can be edited: slices only.
enum SliceKind: String, ExpressibleByArgument, CaseIterable {
  case slice
  case slices
}
