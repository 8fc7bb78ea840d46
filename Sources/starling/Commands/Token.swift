import ArgumentParser
import Base
import Foundation
import Replication
import Runtime
import Slices
import Wire

struct Token: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Join tokens: admit a cluster.", subcommands: [Create.self, Seal.self])

  struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes a join token for one cluster and prints it.",
      discussion: """
        Example: starling token create --cluster eu-1 --seed us-1.example.org:7946 --out eu-1.token

        The token holds the genesis, the seeds and a one-cluster enrolment key: a secret until it is \
        sealed. For the first cluster no peer is needed. With --wait the command waits for the \
        enrolment, shows the fingerprint of the new peer's key and seals the token to it.
        """)

    @Option(help: "The cluster's name: a DNS label.")
    var cluster: String

    @Option(help: "Label of the cluster, name=value; repeat for more.")
    var label: [String] = []

    @Option(help: "latitude,longitude in degrees.")
    var location: String?

    @Option(help: "host:port of a peer's gossip port; repeat for more.")
    var seed: [String] = []

    @Option(help: "How long the token may be used.")
    var ttl = Lifetime(argument: "1h")

    @Option(help: "File to write the token to, readable by you alone (default: standard output).")
    var out: String?

    @Flag(help: "Wait for the enrolment, show it and seal the token to it.")
    var wait = false

    @OptionGroup var peer: PeerOptions

    func run() async throws {
      guard NameRules.isLabel(cluster) else {
        throw AdminError(.invalid, "\"\(cluster)\" is no cluster name", fix: NameRules.labelRule)
      }
      let context = try peer.context()
      let genesis = try context.genesis()
      let online = try await Online(context: context, peer: peer)
      let key = try context.unlockKey()
      let admission = try admission()
      let tokenKey = SigningKey()
      let path = SlicePath.cluster(cluster).text
      var under = genesis.id
      var seen = HybridTime.zero
      if let online {
        under = try GrantChoice.grant(
          for: key.publicKey, in: online.grants, to: "admit clusters"
        ) { $0.contains(.admit) }
        seen = online.state.time
      } else if !genesis.root.keys.contains(key.publicKey) {
        throw AdminError(
          .unreachable, "without a peer only a root key can make a token",
          fix: "Name a peer with --peer, or use the root key.")
      }
      let builder = ChangesetBuilder(
        clusterSet: genesis.id, under: under, key: key, after: seen)
      let context0 = online?.state.entry(path, in: .clusterset)?.context ?? VersionVector()
      let grant = builder.changeset(
        granting: Grant(
          subject: tokenKey.publicKey, capabilities: [.enrol(cluster)],
          notAfterMilliseconds: builder.time.milliseconds + (ttl?.milliseconds ?? 3_600_000),
          delegationDepth: 0),
        writes: online?.state.value(path) == admission
          ? []
          : [
            Write(
              path: path, value: admission, counter: context0[key.publicKey] + 1,
              context: context0)
          ],
        message: "join token for \(cluster)")
      let chain = try await online?.chain(to: under) ?? []
      if let online {
        try await AdminSession.push(ChangesetCodec.encode(grant), to: online.client)
      }
      let seeds = seed.isEmpty ? online?.seeds ?? [] : seed
      let token = JoinToken(
        genesis: genesis, cluster: cluster, seeds: seeds, privateKey: tokenKey.seed,
        grant: grant.id, chain: chain + [grant])
      try write(token.text)
      if wait { try await waitAndSeal(grant.id, online: online, builder: builder, key: key) }
      await online?.client.close()
    }

    private func admission() throws -> Value {
      var labels: [String: Value] = [:]
      for text in label {
        let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2, !parts[0].isEmpty else {
          throw AdminError(.invalid, "--label \(text): write name=value")
        }
        labels[parts[0]] = .string(parts[1])
      }
      var fields: [String: Value] = labels.isEmpty ? [:] : ["labels": .map(fields: labels)]
      if let location {
        let parts = location.split(separator: ",").map(String.init)
        guard parts.count == 2 else {
          throw AdminError(.invalid, "--location \(location): write latitude,longitude")
        }
        fields["location"] = [
          "latitude": .string(parts[0]), "longitude": .string(parts[1]),
        ]
      }
      let value = Value.map(fields: fields)
      do throws(ManifestError) {
        return try ClusterAdmission(value).value
      } catch {
        throw AdminError(.invalid, error.description)
      }
    }

    private func write(_ token: String) throws {
      guard let out else { return print(token) }
      guard
        FileManager.default.createFile(
          atPath: out, contents: Data((token + "\n").utf8),
          attributes: [.posixPermissions: 0o600])
      else { throw AdminError(.failed, "cannot write \(out)") }
      Terminal.error("the token is in \(out); hand it to the cluster's peer")
    }

    private func waitAndSeal(
      _ grant: Digest, online: Online?, builder: ChangesetBuilder, key: SigningKey
    ) async throws {
      guard let online else {
        throw AdminError(.unreachable, "--wait needs a peer to watch", fix: "Name it with --peer.")
      }
      Terminal.error("waiting for \(cluster) to enrol ...")
      while true {
        let grants: APIGrants = try await online.client.get("/v1/grants")
        let enrolments = grants.grants.filter { $0.under == grant }
        if enrolments.count > 1 {
          throw AdminError(
            .conflict, "the token was used \(enrolments.count) times; none of them counts",
            fix: "Compare fingerprints and run: starling token seal \(grant.hex) ENROLMENT")
        }
        if let enrolment = enrolments.first {
          Terminal.error("enrolled: key \(enrolment.subject?.hex ?? "")")
          try await Seal.seal(
            token: grant, keeping: enrolment.id, online: online, under: builder.under, key: key)
          return Terminal.error("sealed: the token can do nothing more")
        }
        try await Task.sleep(for: .milliseconds(250))
      }
    }
  }

  struct Seal: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Seals a token to one enrolment: nothing else made with it ever counts.",
      discussion: "Example: starling token seal TOKEN-GRANT ENROLMENT (see starling get grants)")

    @Argument(help: "ID of the token's grant.")
    var token: String

    @Argument(help: "ID of the enrolment that stays.")
    var enrolment: String

    @OptionGroup var peer: PeerOptions

    func run() async throws {
      guard let grant = Digest(hex: token), let keep = Digest(hex: enrolment) else {
        throw AdminError(.invalid, "both IDs have 64 hexadecimal digits")
      }
      let context = try peer.context()
      guard let online = try await Online(context: context, peer: peer) else {
        throw AdminError(.unreachable, "no peer is chosen", fix: "Name one with --peer.")
      }
      let key = try context.unlockKey()
      let under = try GrantChoice.grant(
        for: key.publicKey, in: online.grants, to: "seal tokens"
      ) { $0.contains(.admit) }
      try await Self.seal(
        token: grant, keeping: keep, online: online, under: under, key: key)
      await online.client.close()
      print("sealed \(token) to \(enrolment)")
    }

    static func seal(
      token: Digest, keeping enrolment: Digest, online: Online, under: Digest, key: SigningKey
    ) async throws {
      let state = try await RemoteState.read(from: online.client)
      let builder = ChangesetBuilder(
        clusterSet: state.clusterSet, under: under, key: key, after: state.time)
      let changeset = builder.changeset(
        floors: [Floor(grant: token, time: .max, keep: [enrolment])],
        message: "seal the join token")
      try await AdminSession.push(ChangesetCodec.encode(changeset), to: online.client)
    }
  }

  /// A peer, where one is chosen: the first token is made before there is any.
  struct Online {
    let client: PeerClient
    let grants: APIGrants
    let state: RemoteState
    let seeds: [String]

    init?(context: AdminContext, peer: PeerOptions) async throws {
      guard context.peer != nil else { return nil }
      client = try peer.client()
      grants = try await client.get("/v1/grants")
      state = try await RemoteState.read(from: client)
      seeds = try await client.get("/v1/genesis", as: APIGenesis.self).seeds
    }

    /// The changesets of the grants from the root's down to this one.
    func chain(to grant: Digest) async throws -> [Changeset] {
      var links: [Changeset] = []
      var next: Digest? = grant
      while let id = next, let entry = grants.grants.first(where: { $0.id == id }) {
        guard entry.under != nil else { break }
        let answer: APIChangeset = try await client.get("/v1/changesets/\(id.hex)")
        guard let raw = answer.raw.flatMap({ [UInt8](hex: $0) }) else { break }
        links.insert(try ChangesetCodec.decode(raw, crypto: .sodium), at: 0)
        next = entry.under
      }
      return links
    }
  }
}
