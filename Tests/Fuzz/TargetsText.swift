import Base
import Runtime
import Slices

/// YAML of people: manifests, services files and the daemon's configuration.
func manifestTarget() -> FuzzTarget {
  let corpus = [sliceManifest, servicesFile, configurationFile, oddYAML].map { Array($0.utf8) }
  return FuzzTarget(name: "manifest", corpus: corpus) { input in
    let text = String(decoding: input, as: UTF8.self)
    guard let documents = try? YAMLDocument.parseAll(text, file: "fuzz.yaml") else { return }
    for document in documents {
      if let manifest = try? Manifest(document.value), case .slice(let slice) = manifest {
        // Written out and read again it is the same slice.
        guard let again = try? SliceManifest(slice.document()) else {
          preconditionFailure("a valid manifest is invalid when written out")
        }
        precondition(again == slice)
      }
      _ = try? LocalServices(document.value)
      _ = try? DaemonConfiguration(ConfigurationLoader(file: document))
    }
  }
}

private let sliceManifest = """
  apiVersion: starling.dev/v1alpha1
  kind: Slice
  metadata: {name: blue}
  spec:
    cidr: 10.11.0.0/16
    maxClusters: 32
    topology: {mode: HubAndSpoke, hubs: [us-1]}
    overlay: service
    members:
      - cluster: eu-1
        namespaces: [shop, pay]
        gateway: {type: LoadBalancer, replicas: 3}
      - {cluster: us-1, namespaces: [shop], block: 5}
    isolation:
      enabled: true
      allowedNamespaces: [monitoring]
      ports: [80, {port: 53, protocol: UDP}]
    rotation: {interval: 24h, overlap: 10m}
    qos: {ceilingKbps: 100000, guaranteedKbps: 20000, priority: 2, dscp: AF21}
    dns: {ttl: 3s, policy: nearest, keepLast: true, clusterLocal: true}
    placement: {labels: {tier: web}, quotas: {cpu: "8", memory: 16Gi}}
  """

private let servicesFile = """
  services:
    - namespace: shop
      name: db
      ports: [{name: sql, port: 5432, protocol: TCP}]
      endpoints: [{address: 192.168.7.4, hostname: db-0}, {address: "fd00::4"}]
      export: {slice: blue, headless: true, aliases: [orders-db], affinity: local}
  workloads:
    - {namespace: shop, addresses: [192.168.7.9]}
  """

private let configurationFile = """
  cluster: eu-1
  listen: 0.0.0.0:7946
  seeds: [10.0.0.1:7946, "[fd00::1]:7946"]
  api: {listen: "", maximumConnections: 16}
  log: {format: json, level: debug}
  ranges: {pods: [10.0.0.0/8], services: [], nodes: [fd00::/48]}
  """

private let oddYAML = """
  %YAML 1.2
  ---
  a: &x [1, -0x1f, 0o17, ~, null, true, .5, 'it''s', "\\u263a\\n"]
  b: *x
  ? c
  : |
    text
     more
  d: >-
    folded
  !!str e: !!set {}
  <<: *x
  ...
  ---
  - - - deep
  """
