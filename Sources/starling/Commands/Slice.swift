import ArgumentParser
import Base
import Replication
import Runtime
import Slices

struct SliceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "slice", abstract: "Changes who takes part in a slice.",
    subcommands: [JoinSlice.self, LeaveSlice.self])

  struct JoinSlice: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "join", abstract: "Makes a cluster a member of a slice.",
      discussion: "Example: starling slice join blue eu-1 --namespace shop --wait")

    @Argument(help: "The slice.") var slice: String
    @Argument(help: "The cluster.") var cluster: String
    @Option(name: .customLong("namespace"), help: "A namespace that takes part; repeat for more.")
    var namespaces: [String]
    @OptionGroup var apply: ApplyOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var peer: PeerOptions

    func run() async throws {
      try await changeMembers(of: slice, apply, output, peer) { members in
        let namespaces = Set(namespaces).sorted()
        if let index = members.firstIndex(where: { $0.cluster == cluster }) {
          members[index].namespaces = namespaces
        } else {
          members.append(SliceMember(cluster: cluster, namespaces: namespaces))
        }
      }
    }
  }

  struct LeaveSlice: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "leave", abstract: "Takes a cluster out of a slice, with its exports.",
      discussion: "Example: starling slice leave blue eu-1")

    @Argument(help: "The slice.") var slice: String
    @Argument(help: "The cluster.") var cluster: String
    @OptionGroup var apply: ApplyOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var peer: PeerOptions

    func run() async throws {
      try await changeMembers(of: slice, apply, output, peer) { members in
        members.removeAll { $0.cluster == cluster }
      }
    }
  }
}

/// Reads a slice, changes its members, and carries the difference out.
private func changeMembers(
  of slice: String, _ options: ApplyOptions, _ output: OutputOptions, _ peer: PeerOptions,
  _ change: (inout [SliceMember]) -> Void
) async throws {
  try await peer.withClient { client in
    let state = try await RemoteState.read(from: client)
    var manifest = try currentManifest(of: slice, in: state)
    change(&manifest.members)
    let plan: SlicePlan
    do throws(ManifestError) {
      plan = try SlicePlan(applying: manifest, to: state)
    } catch {
      throw AdminError(.invalid, error.description, fix: "Nothing was sent.")
    }
    try await SliceChange(
      plans: [plan], state: state, options: options, output: output, peer: peer, client: client
    ).carryOut()
  }
}

func currentManifest(of slice: String, in state: RemoteState) throws -> SliceManifest {
  do throws(ManifestError) {
    guard let manifest = try SliceManifest(named: slice, in: state) else {
      throw ManifestError([FieldError(path: "", reason: "there is no slice \(slice)")])
    }
    return manifest
  } catch {
    throw AdminError(.failed, error.description, fix: "See: starling get slices")
  }
}
