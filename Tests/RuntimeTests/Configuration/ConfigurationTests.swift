import Base
import Testing

@testable import Runtime

@Suite struct ConfigurationTests {
  func load(
    _ yaml: String = "", environment: [String: String] = [:], flags: [String: String] = [:]
  ) throws -> DaemonConfiguration {
    try DaemonConfiguration(
      ConfigurationLoader(
        flags: flags, environment: environment,
        file: try YAMLDocument.parse(yaml, file: "starlingd.yaml")))
  }

  func failure(
    _ yaml: String = "", environment: [String: String] = [:], flags: [String: String] = [:]
  ) -> String {
    do {
      _ = try load(yaml, environment: environment, flags: flags)
      return "loaded"
    } catch {
      return "\(error)"
    }
  }

  @Test func defaultsAreThoseOfTheTable() throws {
    let configuration = try load()
    #expect(configuration.dataDir == "/var/lib/starling")
    #expect(configuration.api.unixSocket == "/var/lib/starling/api.sock")
    #expect(configuration.listen == IPEndpoint("0.0.0.0:7946"))
    #expect(configuration.api.listen == IPEndpoint("0.0.0.0:7443"))
    #expect(configuration.metricsListen == IPEndpoint("127.0.0.1:7480"))
    #expect(configuration.platform == .none)
    #expect(configuration.clockWarnOffset == .seconds(1))
    #expect(configuration.limits.storeBytes == 4_294_967_296)
    #expect(configuration.cluster == nil)
  }

  @Test func everyDefaultIsAllowedAndEveryNameIsItsOwn() {
    for option in ConfigurationOption.all {
      if let standard = option.standard { #expect(option.kind.accepts(standard), "\(option.name)") }
    }
    #expect(
      Set(ConfigurationOption.all.map(\.environmentName)).count == ConfigurationOption.all.count)
    #expect(
      ConfigurationOption.named("api.unixSocket")?.environmentName == "STARLING_API_UNIX_SOCKET")
    #expect(ConfigurationOption.named("api.unixSocket")?.flag == "--api-unix-socket")
  }

  @Test func flagsWinOverEnvironmentOverFileOverDefault() throws {
    let yaml = "listen: 127.0.0.1:1\ncluster: from-file\nseeds: [a.example:1]\n"
    let configuration = try load(
      yaml,
      environment: [
        "STARLING_LISTEN": "127.0.0.1:2", "STARLING_SEEDS": "b.example:1, c.example:2",
      ],
      flags: ["listen": "127.0.0.1:3"])
    #expect(configuration.listen == IPEndpoint("127.0.0.1:3"))
    #expect(configuration.cluster == "from-file")
    #expect(configuration.seeds == ["b.example:1", "c.example:2"])
    let sources = configuration.effective.compactMap { entry in
      entry.source.map { (entry.option.name, $0.description) }
    }
    let byName = Dictionary(uniqueKeysWithValues: sources)
    #expect(byName["listen"] == "--listen")
    #expect(byName["seeds"] == "STARLING_SEEDS")
    #expect(byName["cluster"] == "starlingd.yaml:2")
    #expect(byName["dataDir"] == "default")
  }

  /// As in releases that knew one gateway process only.
  @Test func oneFileMayStandAlone() throws {
    func files(_ yaml: String) throws -> [String] { try load(yaml).gateway.planFiles }
    #expect(try files("") == [])
    #expect(try files("gateway: {planFile: \"\"}\n") == [])
    #expect(try files("gateway:\n  planFile: /run/g,1.json\n") == ["/run/g,1.json"])
    #expect(try files("gateway: {planFile: [/run/0.json, /run/1.json]}\n").count == 2)
    let environment = ["STARLING_GATEWAY_PLAN_FILE": "/run/0.json, /run/1.json"]
    #expect(
      try load("", environment: environment).gateway.planFiles == ["/run/0.json", "/run/1.json"])
  }

  @Test func emptyTextTurnsListenersOff() throws {
    let configuration = try load("api: {listen: \"\"}\nmetrics: {listen: \"\"}\n")
    #expect(configuration.api.listen == nil)
    #expect(configuration.metricsListen == nil)
    #expect(try load("", environment: ["STARLING_GATEWAY_LISTEN": ""]).gateway.listen == nil)
  }

  @Test(arguments: [
    (
      "dataDri: /tmp\n",
      "starlingd.yaml:1: dataDri: unknown option; did you mean dataDir?; allowed: dataDir, cluster,"
    ),
    (
      "api:\n  lisen: 127.0.0.1:1\n",
      "starlingd.yaml:2: api.lisen: unknown option; did you mean api.listen?; allowed: listen, "
    ),
    ("unixSocket: /x\n", "unknown option; did you mean api.unixSocket?"),
    (
      "listen: 7946\n",
      "starlingd.yaml:1: listen: 7946 is not allowed; allowed: ip:port, such as 0.0.0.0:7946"
    ),
    ("listen: localhost:7946\n", "\"localhost:7946\" is not allowed; allowed: ip:port"),
    ("listen: 127.0.0.1:70000\n", "\"127.0.0.1:70000\" is not allowed"),
    (
      "gateway:\n  workers: 0\n",
      "starlingd.yaml:2: gateway.workers: 0 is not allowed; allowed: a whole number from 1 to 64"
    ),
    ("gateway: 7900\n", "starlingd.yaml:1: gateway: is not a map; allowed: listen, advertise"),
    (
      "log: {level: loud}\n",
      "log.level: \"loud\" is not allowed; allowed: trace, debug, info, notice, warning, error"
    ),
    ("seeds: a.example:1\n", "seeds: \"a.example:1\" is not allowed; allowed: a list of at most"),
    ("seeds: [a.example:1, 1.2.3:4]\n", "seeds: \"1.2.3:4\" is not allowed"),
    ("cluster: EU_1\n", "cluster: \"EU_1\" is not allowed; allowed: a DNS label"),
    ("ranges: {pods: [10.0.0.1/8]}\n", "ranges.pods: \"10.0.0.1/8\" is not allowed"),
    ("clock: {warnOffset: 1 day}\n", "clock.warnOffset: \"1 day\" is not allowed; allowed: a dura"),
    ("- 1\n", "starlingd.yaml:1: is not a map; allowed: dataDir"),
    (
      "joinToken: x\njoinTokenFile: /x\n",
      "starlingd.yaml:1: joinToken: joinTokenFile is set too; allowed: one of the two"
    ),
    ("joinToken: \"a b\"\n", "joinToken: is not one line of printable text"),
  ])
  func badFilesSayWhereAndWhatIsAllowed(_ yaml: String, _ expected: String) {
    #expect(failure(yaml).contains(expected), "\(failure(yaml))")
  }

  @Test func allErrorsAreSaidAtOnce() {
    let text = failure("listen: x\nplatform: vm\nfoo: 1\n")
    #expect(text.split(separator: "\n").count == 3)
    #expect(text.hasPrefix("starlingd.yaml:1: listen"))
  }

  @Test func environmentAndFlagsAreNamedAsTheyWereWritten() {
    #expect(
      failure(environment: ["STARLING_GATEWAY_WORKERS": "many"])
        == "environment: STARLING_GATEWAY_WORKERS: \"many\" is not allowed; "
        + "allowed: a whole number from 1 to 64")
    #expect(
      failure(flags: ["listen": "nowhere"]).hasPrefix("command line: --listen: \"nowhere\""))
  }

  @Test func socketPathsThatTheKernelRefusesAreRefusedHere() {
    let long = "/tmp/" + String(repeating: "d", count: 100)
    #expect(failure("dataDir: \(long)\n").contains("api.unixSocket"))
    #expect(failure("dataDir: \(long)\n").contains("at most 107 bytes"))
  }

  @Test func mistypedVariablesAreSuspicious() {
    let loader = ConfigurationLoader(environment: [
      "STARLING_DATADIR": "/tmp", "STARLING_PORT_7946_TCP_ADDR": "10.0.0.1",
      "STARLING_SERVICE_HOST": "10.0.0.1",
    ])
    #expect(loader.suspiciousVariables.map(\.name) == ["STARLING_DATADIR"])
    #expect(loader.suspiciousVariables.map(\.near) == ["STARLING_DATA_DIR"])
  }

  @Test func theEffectiveConfigurationReadsBackTheSame() throws {
    let yaml = """
      cluster: eu-1
      listen: "[::1]:7946"
      seeds: [a.example:7946]
      joinToken: secret-token
      standalone: {dns: {listen: [10.0.0.1:53]}}
      """
    let first = try load(yaml)
    #expect(!first.yaml.contains("secret-token"))
    let printed = first.yaml.replacing("(set)", with: "secret-token")
    var again = try load(printed)
    #expect(again.effective.map(\.value) == first.effective.map(\.value))
    again = try load("")
    #expect(again != first)
  }
}
