/// The Pod of one gateway: the process that carries tunnels, the node agent that leads from it to the
/// nodes, and the feed, which alone has a token.
struct GatewayPodTemplate: Hashable, Sendable {
  var configuration: GatewayWorkloads.Configuration
  var replica: Int
  /// The port is opened at the node itself.
  var usesHostPort: Bool

  static let folder = "/run/starling"
  static let tun = "/dev/net/tun"
  static let tokenFolder = "/var/run/secrets/kubernetes.io/serviceaccount"
  /// Of the token; the kubelet makes a new one in time.
  static let tokenSeconds: Int64 = 3607

  var json: JSON {
    [
      "metadata": ["labels": .texts(GatewayWorkloads.labels(replica))],
      "spec": [
        "serviceAccountName": .string(GatewayWorkloads.serviceAccount),
        "automountServiceAccountToken": false, "enableServiceLinks": false,
        "priorityClassName": "system-cluster-critical", "terminationGracePeriodSeconds": 5,
        "affinity": ["podAntiAffinity": apart],
        "containers": [gateway, node, feed],
        "volumes": [
          // In memory, since keys are in it; it outlives restarts of containers.
          ["name": "run", "emptyDir": ["medium": "Memory", "sizeLimit": "64Mi"]],
          ["name": "tun", "hostPath": ["path": .string(Self.tun), "type": "CharDevice"]],
          ["name": "token", "projected": ["sources": token]],
        ],
      ],
    ]
  }

  /// Preferred only: a cluster of one node has gateways as well.
  private var apart: JSON {
    [
      "preferredDuringSchedulingIgnoredDuringExecution": [
        [
          "weight": 100,
          "podAffinityTerm": [
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": ["matchLabels": .texts(GatewayWorkloads.commonLabels)],
          ],
        ]
      ]
    ]
  }

  private var token: JSON {
    [
      ["serviceAccountToken": ["path": "token", "expirationSeconds": .integer(Self.tokenSeconds)]],
      [
        "configMap": [
          "name": "kube-root-ca.crt", "items": [["key": "ca.crt", "path": "ca.crt"]],
        ]
      ],
      [
        "downwardAPI": [
          "items": [["path": "namespace", "fieldRef": ["fieldPath": "metadata.namespace"]]]
        ]
      ],
    ]
  }

  private static let folderMount: JSON = ["name": "run", "mountPath": .string(folder)]

  private func path(_ name: String) -> JSON { .string("\(Self.folder)/\(name)") }

  /// No liveness probe: one that does not answer may still carry packets, and one that ends is started
  /// again.
  private var gateway: JSON {
    let metrics = configuration.metricsPort
    var port: JSON = [
      "name": "tunnel", "containerPort": .integer(Int64(configuration.port)), "protocol": "UDP",
    ]
    if usesHostPort { port["hostPort"] = .integer(Int64(configuration.port)) }
    return [
      "name": "gateway", "image": .string(configuration.image),
      "command": [
        "starling-gateway", "--wait", "--plan", path("plan.json"), "--metrics",
        .string("\(configuration.metricsHost):\(metrics)"),
      ],
      "ports": [
        port,
        ["name": "metrics", "containerPort": .integer(Int64(metrics)), "protocol": "TCP"],
      ],
      "readinessProbe": [
        "httpGet": ["path": "/healthz", "port": .integer(Int64(metrics))], "periodSeconds": 2,
      ],
      "securityContext": [
        "runAsUser": 0, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
        "capabilities": ["drop": ["ALL"], "add": ["NET_ADMIN"]],
      ],
      "resources": ["requests": ["cpu": "100m", "memory": "64Mi"]],
      "volumeMounts": [
        Self.folderMount, ["name": "tun", "mountPath": .string(Self.tun)],
      ],
    ]
  }

  /// It sets kernel settings of the Pod's network, which only privileged containers may.
  private var node: JSON {
    [
      "name": "node", "image": .string(configuration.nodeImage),
      "command": [
        "starling-node", "--document", path("node.json"), "--state", path("state"), "--socket",
        path("node.sock"),
      ],
      "securityContext": ["privileged": true],
      "resources": ["requests": ["cpu": "10m", "memory": "32Mi"]],
      "volumeMounts": [Self.folderMount],
    ]
  }

  private var feed: JSON {
    [
      "name": "feed", "image": .string(configuration.image),
      "command": [
        "starling-node-feed", "--gateway", "$(POD_IPS)", "--document", path("node.json"),
        "--secret", .string(GatewayWorkloads.name(replica)), "--plan", path("plan.json"), "--pod",
        "$(POD_NAME)",
      ],
      "env": [
        field("POD_IPS", "status.podIPs"), field("POD_NAME", "metadata.name"),
      ],
      "securityContext": [
        "runAsUser": 0, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
        "capabilities": ["drop": ["ALL"]],
      ],
      "resources": ["requests": ["cpu": "5m", "memory": "32Mi"]],
      "volumeMounts": [
        Self.folderMount,
        ["name": "token", "mountPath": .string(Self.tokenFolder), "readOnly": true],
      ],
    ]
  }

  private func field(_ name: String, _ path: String) -> JSON {
    ["name": .string(name), "valueFrom": ["fieldRef": ["fieldPath": .string(path)]]]
  }
}
