/// Gives every member of a manifest its block.
struct PlanBlocks {
  let manifest: SliceManifest
  let current: CurrentSlice
  let errors: FieldErrors

  /// The members with their blocks: one that is given, else the one it has, else the first free one
  /// in the rendezvous order of the cluster. Nobody is renumbered who was not told to be.
  func assign(notes: inout [String]) -> [SliceMember] {
    guard let layout = manifest.network.layout else {
      return manifest.members.map {
        var member = $0
        member.block = nil
        return member
      }
    }
    var firm = firmHolders()
    let lingering = lingeringBlocks()
    var out = manifest.members
    for (index, member) in out.enumerated() {
      let held = current.members[member.cluster]?.section?.block
      if let given = member.block {
        if let holder = firm[given], holder != member.cluster {
          errors.add(
            "spec.members[\(index)].block", "block \(given) is that of \"\(holder)\" already")
        } else if let held, held != given {
          notes.append(
            "\(member.cluster) moves from block \(held) to \(given): its connections end")
        }
      } else if let held {
        out[index].block = held
      } else {
        let order = layout.preference(of: member.cluster).filter { firm[$0] == nil }
        out[index].block = order.first { !lingering.contains($0) } ?? order.first
        guard let block = out[index].block else {
          errors.add(
            "spec.members[\(index)]", "no block is left for \"\(member.cluster)\"",
            allowed: "\(layout.blockCount) members")
          continue
        }
        firm[block] = member.cluster
      }
    }
    return out
  }

  /// Who has which block once the plan is applied, as far as that is settled before any choice.
  private func firmHolders() -> [Int: String] {
    var out: [Int: String] = [:]
    // Those who stay where they are come first: a block that is given must not be theirs.
    for member in manifest.members where member.block == nil {
      if let held = current.members[member.cluster]?.section?.block, out[held] == nil {
        out[held] = member.cluster
      }
    }
    for member in manifest.members {
      if let given = member.block, out[given] == nil { out[given] = member.cluster }
    }
    return out
  }

  /// Blocks of members that leave or move, and those that gateways say they use: traffic may still
  /// flow there, so they are taken last.
  private func lingeringBlocks() -> Set<Int> {
    current.blocksInUse.union(current.validMembers.compactMap(\.block))
  }
}
