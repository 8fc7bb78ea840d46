import Base
import Kubernetes
import Testing

@Suite struct AccessTests {
  private let first: Value = [
    "apiVersion": "v1", "current-context": "",
    "clusters": [
      [
        "name": "prod",
        "cluster": [
          "server": "https://api.example:6443/", "certificate-authority": "pki/ca.crt",
          "tls-server-name": "api.internal",
        ],
      ]
    ],
    "users": [
      [
        "name": "ops",
        "user": [
          "exec": [
            "apiVersion": "client.authentication.k8s.io/v1", "command": "bin/login",
            "args": ["get", "token"], "env": [["name": "REGION", "value": "eu"]],
          ]
        ],
      ]
    ],
    "contexts": [
      ["name": "prod", "context": ["cluster": "prod", "user": "ops", "namespace": "shop"]]
    ],
  ]
  private let second: Value = [
    "current-context": "lab",
    "clusters": [
      ["name": "prod", "cluster": ["server": "https://evil.example"]],
      [
        "name": "lab",
        "cluster": ["server": "https://[::1]:6443", "certificate-authority-data": "Y2E="],
      ],
    ],
    "users": [
      [
        "name": "lab",
        "user": ["client-certificate-data": "Y2VydA==", "client-key": "/keys/lab.key"],
      ]
    ],
    "contexts": [["name": "lab", "context": ["cluster": "lab", "user": "lab"]]],
  ]

  @Test func filesMergeAsKubectlDoes() throws {
    var config = Kubeconfig()
    try config.merge(first, folder: "/home/a/.kube")
    try config.merge(second, folder: "/etc/lab")
    #expect(config.currentContext == "lab" && config.contextNames == ["lab", "prod"])
    let lab = try config.access()
    #expect(lab.server == "https://[::1]:6443" && lab.namespace == "default")
    #expect(lab.certificateAuthority == .bytes(Array("ca".utf8)))
    #expect(
      lab.credentials
        == .certificate(certificate: .bytes(Array("cert".utf8)), key: .file("/keys/lab.key")))
    let prod = try config.access(context: "prod")
    #expect(prod.server == "https://api.example:6443" && prod.serverName == "api.internal")
    #expect(prod.certificateAuthority == .file("/home/a/.kube/pki/ca.crt"))
    #expect(prod.namespace == "shop")
    #expect(
      prod.credentials
        == .exec(
          ExecPlugin(
            command: "/home/a/.kube/bin/login", arguments: ["get", "token"],
            environment: ["REGION": "eu"])))
  }

  private func access(
    cluster: Value = ["server": "https://a", "certificate-authority-data": "Y2E="],
    user: Value = ["token": "t"]
  ) throws(AccessError) -> ClusterAccess {
    var config = Kubeconfig()
    try config.merge(
      [
        "current-context": "x", "clusters": [["name": "c", "cluster": cluster]],
        "users": [["name": "u", "user": user]],
        "contexts": [["name": "x", "context": ["cluster": "c", "user": "u"]]],
      ], folder: "/f")
    return try config.access()
  }

  @Test func whatIsUnsafeIsRefused() {
    let ca: Value = "Y2E="
    let bad: [Value] = [
      ["server": "http://a", "certificate-authority-data": ca],
      ["server": "https://a"],
      ["server": "https://a", "certificate-authority-data": "!!"],
      ["server": "https://a", "certificate-authority-data": ca, "insecure-skip-tls-verify": true],
      ["server": "https://a", "certificate-authority-data": ca, "proxy-url": "http://p"],
      [:], .null, "text",
    ]
    for cluster in bad { #expect(throws: AccessError.self) { try access(cluster: cluster) } }
    let users: [Value] = [
      ["username": "a", "password": "b"], ["client-certificate-data": "Y2E="],
      ["exec": ["command": "x", "apiVersion": "client.authentication.k8s.io/v1alpha1"]],
      ["exec": ["apiVersion": "client.authentication.k8s.io/v1"]],
      [
        "exec": [
          "command": "x", "apiVersion": "client.authentication.k8s.io/v1",
          "interactiveMode": "Always",
        ]
      ],
      ["as": "root", "token": "t"],
    ]
    for user in users { #expect(throws: AccessError.self) { try access(user: user) } }
    #expect(throws: Never.self) { try access() }
  }

  @Test func tokenFilesGoBeforeTokens() throws {
    #expect(
      try access(user: ["token": "old", "tokenFile": "t"]).credentials == .tokenFile("/f/t"))
  }

  @Test func insideAPod() throws {
    let environment = ["KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"]
    let access = try ClusterAccess.inCluster(environment: environment, namespace: "starling-system")
    #expect(access.server == "https://[fd00::1]:443" && access.namespace == "starling-system")
    #expect(access.credentials == .tokenFile(ClusterAccess.serviceAccount + "/token"))
    #expect(throws: AccessError.self) {
      try ClusterAccess.inCluster(environment: [:], namespace: nil)
    }
    #expect(throws: AccessError.self) {
      try ClusterAccess.inCluster(
        environment: ["KUBERNETES_SERVICE_HOST": "a", "KUBERNETES_SERVICE_PORT": "99999"],
        namespace: nil)
    }
  }

  @Test func pluginsAnswerInTheirVersion() throws {
    let plugin = ExecPlugin(command: "login", provideClusterInfo: true)
    let input = plugin.input(server: "https://a", certificateAuthority: [1, 2, 3])
    #expect(input.at("spec", "cluster", "certificate-authority-data") == "AQID")
    func answer(_ text: String) throws(AccessError) -> ExecCredential {
      try ExecCredential(output: Array(text.utf8), of: plugin)
    }
    let head = #"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":"#
    let good = try answer(
      head + #"{"token":"t","expirationTimestamp":"2026-01-02T03:04:05Z"}}"#)
    #expect(good.token == "t" && good.expiresMilliseconds == 1_767_323_045_000)
    for bad in [
      "", "{}", head + "{}}", head + #"{"token":""}}"#,
      head + #"{"token":"t","expirationTimestamp":"tomorrow"}}"#,
      head + #"{"clientCertificateData":"x"}}"#,
      #"{"kind":"ExecCredential","apiVersion":"v9","status":{"token":"t"}}"#,
    ] {
      #expect(throws: AccessError.self) { try answer(bad) }
    }
  }

  @Test func base64RoundTripsAndIsStrict() {
    var rng = SeededGenerator(seed: 3)
    for count in 0..<200 {
      let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &rng) }
      #expect(Base64.decode(Base64.encode(bytes)) == bytes)
    }
    #expect(Base64.encode(Array("any carnal pleas".utf8)) == "YW55IGNhcm5hbCBwbGVhcw==")
    for bad in ["A", "AA", "AAA", "A===", "AA=A", "AB==", "AA==AA==", "A-_A", "é"] {
      #expect(Base64.decode(bad) == nil, "\(bad)")
    }
  }

  @Test func credentialsAreFetchedInTime() {
    func now(_ seconds: Int64) -> Now {
      Now(
        instant: Instant(nanoseconds: seconds * 1_000_000_000),
        wallMilliseconds: 1_000_000 + UInt64(seconds) * 1000)
    }
    var exec = CredentialClock(.exec)
    #expect(exec.isDue(now(0)))
    exec.fetched(now(0), expiresMilliseconds: 1_000_000 + 600_000)
    #expect(!exec.isDue(now(569)) && exec.isDue(now(571)))
    // A plugin whose answers are refused is not run in a loop.
    var runs = 0
    for second in Int64(0)..<600 where exec.isDue(now(1000 + second)) {
      runs += 1
      exec.fetched(now(1000 + second), expiresMilliseconds: 9_000_000)
      exec.refused()
    }
    #expect((5...12).contains(runs))
    exec.accepted()
    #expect(!exec.isDue(now(2000)))
    // What has expired already when it is handed out is not fetched without pause.
    exec.fetched(now(2000), expiresMilliseconds: 5)
    #expect(!exec.isDue(now(2000)) && exec.isDue(now(2001)))

    var file = CredentialClock(.file)
    file.fetched(now(0))
    #expect(!file.isDue(now(59)) && file.isDue(now(60)))
    file.fetched(now(60))
    file.refused()
    #expect(file.isDue(now(60)))
    var fixed = CredentialClock(.fixed)
    fixed.fetched(now(0))
    fixed.refused()
    #expect(!fixed.isDue(now(9999)))
  }
}
