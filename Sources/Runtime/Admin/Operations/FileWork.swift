internal import Base
internal import Glibc
internal import Replication
internal import Wire

/// Signed files, backups, versions.
extension AdminSession {
  /// Adds this key's signature to every changeset of a file.
  public func cosign(_ file: String, to target: String, isConfirmed: Bool) throws(AdminError) {
    let text = try TextFile.read(file)
    let changesets = try SignedChangesetFile.read(text, file: file)
    let genesis = try genesis()
    for changeset in changesets {
      guard SignedChangesetFile.isSigned(changeset) else {
        throw AdminError(
          .failed, "\(file): \(changeset.id.short) has a signature that is not right",
          fix: "Do not sign it. Get the file again from who made it.")
      }
      if let genesis, changeset.clusterSet != genesis.id {
        throw AdminError(
          .failed, "\(file): it is for another ClusterSet (\(changeset.clusterSet.short))")
      }
      note(describe(changeset, genesis))
    }
    let key = try signingKey()
    for changeset in changesets
    where changeset.endorsements.contains(where: { $0.key == key.publicKey }) {
      throw AdminError(.failed, "\(file): the key \(key.publicKey.short) has signed it already")
    }
    try confirm("Sign this?", isConfirmed: isConfirmed, isOptional: true)
    let signed = changesets.map { $0.signed(by: key.signer) }
    let comments = text.split(separator: "\n").filter { $0.hasPrefix("# ") }.map {
      String($0.dropFirst(2))
    }
    try write(signed, name: "cosigned", comments: comments, to: target)
    for changeset in signed {
      note("\(changeset.id.short) has \(changeset.endorsements.count) signatures")
    }
  }

  private func describe(_ changeset: Changeset, _ genesis: Genesis?) -> String {
    let shown = APIChangeset(changeset, state: .pending, bytes: changeset.body.count)
    var lines = [
      output(.strong, "changeset \(changeset.id.hex)"),
      "  made      \(shown.at) by \(changeset.author.short), under \(changeset.under.short)",
      "  message   \(changeset.message)",
      "  does      \(ChangesetSummary.content(shown))",
    ]
    for write in changeset.writes {
      let value = write.value.map { PlanWords.show($0) } ?? "(deleted)"
      lines.append("            \(write.path) = \(value)")
    }
    let names = changeset.endorsements.map { endorsement in
      let isRoot = genesis.map { $0.root.keys.contains(endorsement.key) ? " (root)" : "" } ?? ""
      return endorsement.key.short + isRoot
    }
    lines.append("  signed by \(names.joined(separator: ", "))")
    return lines.joined(separator: "\n")
  }

  /// Sends the changesets of files.
  public func push(_ files: [String], wait: Duration?, _ format: OutputFormat) async throws {
    var changesets: [Changeset] = []
    for file in files {
      changesets += try SignedChangesetFile.read(try TextFile.read(file), file: file)
    }
    try await withPeer { client in
      let delivery = Delivery(self, wait: wait, showsProgress: !format.isStructured)
      let report = try await delivery.send(changesets, to: client)
      try print(report, format) {
        let lines = report.results.map { result in
          "changeset \(result.id?.short ?? "?") \(result.outcome.rawValue)"
        }
        return (lines + (report.progressLine.map { [$0] } ?? [])).joined(separator: "\n") + "\n"
      }
      try report.checkArrival()
    }
  }

  /// - Returns: how many bytes were written.
  public func backup(to path: String, _ client: PeerClient) async throws -> Int {
    guard !TextFile.exists(path) else {
      throw AdminError(.failed, "\(path): the file exists already; it is not overwritten")
    }
    let temporary = "\(path).\(Sodium.randomBytes(6).hex).new"
    let file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else {
      throw AdminError(.failed, "\(path): cannot write the file: \(FileError.last.reason)")
    }
    var total = 0
    do {
      defer { close(file) }
      try await client.backup { chunk in
        var sent = 0
        while sent < chunk.count {
          let count = chunk.withUnsafeBytes { buffer in
            Glibc.write(file, buffer.baseAddress.map { $0 + sent }, chunk.count - sent)
          }
          guard count > 0 else {
            throw AdminError(.failed, "\(path): cannot write the file: \(FileError.last.reason)")
          }
          sent += count
        }
        total += chunk.count
      }
      guard fsync(file) == 0, rename(temporary, path) == 0 else {
        throw AdminError(.failed, "\(path): cannot write the file: \(FileError.last.reason)")
      }
    } catch {
      unlink(temporary)
      throw error
    }
    return total
  }

  public func restore(from backup: String, to dataDirectory: String) throws(AdminError) {
    do throws(StorageError) {
      try ChangesetStore.restore(
        from: backup, to: dataDirectory, wallMilliseconds: now.milliseconds)
    } catch {
      throw AdminError.from(error)
    }
  }

  public func versions() async -> VersionReport {
    var report = VersionReport(starling: StarlingVersion.current)
    guard (try? reachablePeer()) != nil else { return report }
    let status = try? await withPeer { client in
      try await client.get("/v1/status", as: APIStatus.self)
    }
    report.peer = status?.version
    return report
  }
}

public struct VersionReport: Codable, Hashable, Sendable {
  public var starling: String
  /// Absent where no peer could be reached.
  public var peer: String?

  public var text: String {
    "starling \(starling)\n" + (peer.map { "starlingd \($0) (the peer)\n" } ?? "")
  }
}
