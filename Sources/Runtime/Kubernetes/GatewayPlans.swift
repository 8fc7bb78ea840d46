internal import Base
internal import Kubernetes
internal import Logging
internal import Slices

/// What each gateway process of a Kubernetes cluster is told, kept in a Secret each.
///
/// A Secret that is there is continued: its static key and its leaves are taken over while they are
/// good, so another peer that comes to act changes nothing and no tunnel notices.
struct GatewayPlans: Sendable {
  struct Configuration: Sendable {
    var cluster: String
    var clusterSet: Digest
    var listen: IPEndpoint
    var linkKbps = 0
    var relayKbps = 0
  }

  /// What one pass comes to.
  struct Outcome: Sendable {
    /// By replica; `nil`: its Secret stays as it is.
    var plans: [Int: [UInt8]?] = [:]
    /// When leaves are to be looked at again, milliseconds since 1970.
    var nextMilliseconds: UInt64?
    /// Why something is missing.
    var problem: String?
    /// The published CA is another peer's.
    var lacksAuthority = false
  }

  private struct LeafKey: Hashable {
    var slice: String
    var replica: Int
  }

  private let configuration: Configuration
  /// CAs that leaves can be issued with.
  var authorities: [ClusterCA]
  /// For a gateway that has none yet.
  private let makeKey: @Sendable (Int) -> [UInt8]?
  private var read: [Int: (text: String, file: GatewayPlanFile?)] = [:]
  /// Issued here; they count until the Secrets have them.
  private var issued: [LeafKey: TunnelIdentity] = [:]

  init(
    _ configuration: Configuration, authorities: [ClusterCA],
    makeKey: @escaping @Sendable (Int) -> [UInt8]?
  ) {
    self.configuration = configuration
    self.authorities = authorities
    self.makeKey = makeKey
  }

  /// The plan that stands in a gateway's Secret.
  mutating func stored(_ replica: Int, _ secret: KubernetesObject?) -> GatewayPlanFile? {
    guard let text = secret?.json.at("data", GatewayWorkloads.planKey)?.string else {
      read[replica] = nil
      return nil
    }
    if let known = read[replica], known.text == text { return known.file }
    let file = Base64.decode(text).flatMap { try? GatewayPlanFile(json: $0) }
    let own = file.flatMap {
      $0.cluster == configuration.cluster && $0.replica == "\(replica)" && $0.staticKey.count == 32
        ? $0 : nil
    }
    read[replica] = (text, own)
    return own
  }

  /// The public half of the key that a gateway works with; `nil` before it has one.
  mutating func publicKey(_ replica: Int, _ secret: KubernetesObject?) -> [UInt8]? {
    stored(replica, secret).flatMap { Gateway.publicKey(of: $0.staticKey) }
  }

  mutating func plan(
    _ gateway: Slices.GatewayState, _ view: ClustersetView, replicas: [Int],
    secrets: [Int: KubernetesObject], now: Now
  ) -> Outcome {
    var out = Outcome()
    guard let authority = view.clusters[configuration.cluster]?.info?.certificateAuthority,
      !authority.isEmpty
    else {
      out.plans = Dictionary(uniqueKeysWithValues: replicas.map { ($0, nil) })
      out.problem = "this cluster's record is not published yet"
      return out
    }
    var files: [Int: GatewayPlanFile] = [:]
    for replica in replicas { files[replica] = stored(replica, secrets[replica]) }
    let leaves = self.leaves(gateway, view, replicas, files, authority, now, &out)
    for replica in replicas {
      guard let key = files[replica]?.staticKey ?? makeKey(replica) else {
        out.plans[replica] = .some(nil)
        out.problem = "there is no key for gateway \(replica)"
        continue
      }
      let file = GatewayPlanFile(
        cluster: configuration.cluster, replica: "\(replica)", listen: configuration.listen,
        staticKey: key, plan: tunnels(gateway, replica, leaves))
      let json = try? file.json()
      if let json, json.count > GatewayWorkloads.planLimit {
        out.problem = "the plan of gateway \(replica) does not fit into a Secret"
      }
      out.plans[replica] = .some(
        json.flatMap { $0.count <= GatewayWorkloads.planLimit ? $0 : nil })
    }
    return out
  }

  private func tunnels(
    _ gateway: Slices.GatewayState, _ replica: Int, _ leaves: [LeafKey: TunnelIdentity]
  ) -> GatewayPlan {
    // Not what services export: it changes with every endpoint, and does not fit.
    var out = GatewayPlan(linkKbps: configuration.linkKbps, relayKbps: configuration.relayKbps)
    for device in gateway.devices {
      guard let leaf = leaves[LeafKey(slice: device.slice, replica: replica)],
        let address = AddressAllocator.gateway(replica, in: device.block)
      else { continue }
      out.slices.append(
        TunnelSliceConfig(
          slice: device.slice, device: device.device,
          addresses: [.init(address, prefixLength: device.cidr.length)],
          localBlocks: [device.block], mtu: StandaloneGateways.innerMTU,
          qos: TunnelQoS(device.qos), isShared: false, identity: leaf))
    }
    for tunnel in gateway.tunnels {
      let remote = SPIFFEIdentity(
        clusterSet: configuration.clusterSet, cluster: tunnel.cluster,
        role: .gateway(slice: tunnel.slice, replica: tunnel.replica))
      out.peers.append(
        TunnelPeerConfig(
          slice: tunnel.slice, cluster: tunnel.cluster, replica: tunnel.replica,
          endpoints: tunnel.endpoints, staticKey: tunnel.key,
          certificateAuthority: tunnel.certificateAuthority, spiffeURI: remote.uri,
          remoteBlocks: [tunnel.block]))
    }
    return out
  }

  // MARK: Certificates

  private func identity(_ key: LeafKey) -> SPIFFEIdentity {
    SPIFFEIdentity(
      clusterSet: configuration.clusterSet, cluster: configuration.cluster,
      role: .gateway(slice: key.slice, replica: "\(key.replica)"))
  }

  /// Those that are kept, and new ones where the slices' rotations want them.
  private mutating func leaves(
    _ gateway: Slices.GatewayState, _ view: ClustersetView, _ replicas: [Int],
    _ files: [Int: GatewayPlanFile], _ authority: [UInt8], _ now: Now, _ out: inout Outcome
  ) -> [LeafKey: TunnelIdentity] {
    var leaves: [LeafKey: TunnelIdentity] = [:]
    var observed: [CertificateReconciler.Leaf] = []
    let keys = gateway.devices.flatMap { device in
      replicas.map { LeafKey(slice: device.slice, replica: $0) }
    }
    issued = issued.filter { keys.contains($0.key) }
    for key in keys {
      let file = files[key.replica]?.plan.slices.first { $0.slice == key.slice }?.identity
      // Better one of a CA that is no more than none: sessions that there are go on.
      leaves[key] = file
      let good = [file, issued[key]].compactMap { $0 }.compactMap { leaf in
        LeafInspection(leaf, of: identity(key), authority: authority).map { (leaf, $0) }
      }
      guard let (leaf, found) = good.max(by: { $0.1.issuedMilliseconds < $1.1.issuedMilliseconds })
      else { continue }
      leaves[key] = leaf
      observed.append(
        CertificateReconciler.Leaf(
          slice: key.slice, replica: "\(key.replica)",
          issuedMilliseconds: found.issuedMilliseconds,
          expiresMilliseconds: found.expiresMilliseconds))
    }
    let wanted = Dictionary(
      gateway.devices.map { ($0.slice, view.slices[$0.slice]?.rotation ?? SliceRotation()) },
      uniquingKeysWith: { first, _ in first })
    let plan = CertificateReconciler.plan(
      wanted: wanted, replicas: replicas.map { "\($0)" }, observed: observed,
      now: now.wallMilliseconds)
    out.nextMilliseconds = plan.nextMilliseconds
    for case .issue(let slice, let replica, let lifetime) in plan.actions {
      guard let number = Int(replica) else { continue }
      let key = LeafKey(slice: slice, replica: number)
      if let leaf = issue(key, lifetime, authority, now) {
        (leaves[key], issued[key]) = (leaf, leaf)
      } else {
        // What is there serves until it expires.
        out.lacksAuthority = true
        out.problem = "no certificate for gateway \(replica) of \(slice): this peer has not the CA"
      }
    }
    return leaves
  }

  private func issue(
    _ key: LeafKey, _ lifetime: Int64, _ authority: [UInt8], _ now: Now
  ) -> TunnelIdentity? {
    let issuer = authorities.first { $0.certificate == authority }
    let leaf = try? issuer?.issue(identity(key), for: .milliseconds(lifetime), now: now)
    return leaf.map {
      TunnelIdentity(certificate: $0.certificate, privateKey: $0.privateKey)
    }
  }
}
