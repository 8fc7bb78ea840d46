import Base
import Replication
import Slices
import Testing

/// Registers of a small world: clusters that joined, slices applied through plans.
struct World {
  var table = RegisterTable()
  private var clock: UInt64 = 1

  init(clusters: [String] = ["a", "b", "c"]) {
    for cluster in clusters { join(cluster) }
  }

  mutating func join(_ cluster: String, ranges: ClusterRanges = ClusterRanges()) {
    set("cluster/\(cluster)", ClusterAdmission().value)
    set(
      "cluster/\(cluster)/info",
      ClusterInfo(certificateAuthority: Array(cluster.utf8), peers: [], ranges: ranges).value)
  }

  mutating func set(_ path: String, _ value: Value?, in scope: Scope = .clusterset) {
    clock += 1
    table[path, scope] = value.map {
      Register(value: $0, time: HybridTime(milliseconds: clock))
    }
  }

  @discardableResult
  mutating func apply(_ manifest: SliceManifest) throws -> SlicePlan {
    let plan = try SlicePlan(applying: manifest, to: table)
    apply(plan.writes)
    return plan
  }

  mutating func apply(_ writes: [RegisterWrite]) {
    for write in writes { set(write.path, write.value, in: write.scope) }
  }

  mutating func publishGateway(_ slice: String, _ cluster: String, since: UInt64 = 1) {
    guard let block = table["slice/\(slice)/member/\(cluster)"]?.value["block"]?.integer else {
      return
    }
    let record = GatewayRecord(
      endpoints: [IPEndpoint(IPAddress(v4: 0x0a00_0001), port: 7900)],
      key: Array(repeating: 7, count: 32), block: Int(block), sinceMilliseconds: since)
    set("slice/\(slice)/gateway/\(cluster)", record.value, in: .slice(slice))
  }

  var view: ClustersetView { ClustersetView(table) }
}

func slice(
  _ name: String = "blue", cidr: String? = "10.11.0.0/16", members: [SliceMember] = [],
  topology: Topology = .fullMesh, maxClusters: Int = 16, overlay: SliceOverlay = .service,
  dns: SliceDNS = SliceDNS()
) -> SliceManifest {
  SliceManifest(
    name: name,
    network: SliceNetwork(
      cidr: cidr.flatMap { IPPrefix($0) }, maxClusters: maxClusters, topology: topology,
      overlay: overlay), members: members, dns: dns)
}

func member(_ cluster: String, _ namespaces: [String] = ["shop"], block: Int? = nil) -> SliceMember
{
  SliceMember(cluster: cluster, namespaces: namespaces, block: block)
}

/// A manifest document with `spec` as given.
func document(_ spec: Value, name: Value = "blue") -> Value {
  [
    "apiVersion": "starling.dev/v1alpha1", "kind": "Slice", "metadata": ["name": name],
    "spec": spec,
  ]
}

/// The errors of a document as sentences; empty where it is valid.
func errors(_ spec: Value, name: Value = "blue") -> [String] {
  do throws(ManifestError) {
    _ = try SliceManifest(document(spec, name: name))
    return []
  } catch {
    return error.errors.map(\.description)
  }
}

/// Random trees, for whatever reads documents.
func randomValue(_ rng: inout SeededGenerator, depth: Int = 4, names: [String]) -> Value {
  switch Int.random(in: 0..<(depth > 0 ? 9 : 6), using: &rng) {
  case 0: return .null
  case 1: return .bool(.random(using: &rng))
  case 2: return .integer(Int64.random(in: -3...70_000, using: &rng))
  case 3: return .integer(.random(in: .min ... .max, using: &rng))
  case 4:
    let texts =
      names + ["10.11.0.0/16", "fd00::/48", "a", "24h", "", "\u{202e}x", "NodePort", "99999999d"]
    return .string(texts.randomElement(using: &rng) ?? "")
  case 5: return .bytes([1, 2, 3])
  case 6:
    return .list(
      (0..<Int.random(in: 0...4, using: &rng)).map { _ in
        randomValue(&rng, depth: depth - 1, names: names)
      })
  default:
    var fields: [String: Value] = [:]
    for _ in 0..<Int.random(in: 0...6, using: &rng) {
      let name = names.randomElement(using: &rng) ?? "x"
      fields[name] = randomValue(&rng, depth: depth - 1, names: names)
    }
    return .map(fields: fields)
  }
}
