// swift-tools-version: 6.1
import Foundation
import PackageDescription

// Benchmark and documentation plugins cost build time, so they exist only where they are asked for.
let withPlugins = ProcessInfo.processInfo.environment["STARLING_PLUGINS"] != nil

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

// The executables carry the Swift runtime and Foundation: they run on a machine without Swift, start in a
// fifth of the time, and are not relocated, so that peers of one machine share nearly all of their memory.
let executable: [LinkerSetting] = [
  .unsafeFlags(
    [
      "-static-stdlib", "-use-ld=lld", "-l_FoundationICU", "-l_FoundationCollections",
      "-l_FoundationCShims", "-lCoreFoundation",
    ]
      + ["--gc-sections", "--icf=safe", "--no-export-dynamic"].flatMap {
        ["-Xlinker", $0]
      },
    .when(platforms: [.linux]))
]

// What runs on nodes carries the C library too: it starts on whatever system a node has, in milliseconds.
let nodeExecutable: [LinkerSetting] = [
  .unsafeFlags(
    ["-static-executable", "-Xlinker", "--gc-sections"], .when(platforms: [.linux]))
]

func core(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(
  _ name: String, _ dependencies: [Target.Dependency] = [], resources: [Resource] = []
) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: [.byName(name: name)] + dependencies,
    resources: resources, swiftSettings: settings)
}

let package = Package(
  name: "starling",
  platforms: [.macOS(.v15)],
  products: [
    .executable(name: "starlingd", targets: ["starlingd"]),
    .executable(name: "starling", targets: ["starling"]),
    .executable(name: "starling-gateway", targets: ["starling-gateway"]),
    .executable(name: "starling-node-feed", targets: ["starling-node-feed"]),
    .executable(name: "starling-node", targets: ["starling-node"]),
    .executable(name: "starling-cni", targets: ["starling-cni"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
    .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
  ],
  targets: [
    // C libraries, and thin shims for macros that Swift cannot import.
    .systemLibrary(
      name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
    .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
    .target(
      name: "COpenSSL", linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
    .target(name: "CLinux"),
    .target(name: "CNode"),

    // The sans-IO cores: no clock, no randomness, no logging, no Foundation.
    core("Base"),
    core("Membership", ["Base"]),
    core("Replication", ["Base"]),
    core("Slices", ["Base", "Replication"]),
    core("Naming", ["Base", "Slices"]),
    core("Tunnel", ["Base"]),
    core("Kubernetes", ["Base", "Replication", "Slices"]),
    core("Nodes", ["Base", "Kubernetes", "Slices"]),
    core("Peer", ["Base", "Membership", "Replication", "Slices", "Naming"]),

    // What travels between peers: Protobuf messages, framing, sealed datagrams.
    .target(
      name: "Wire",
      dependencies: [
        "Base", "Membership", "Replication", "Peer",
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ], exclude: ["Schema"], swiftSettings: settings),

    // The only adapter layer.
    .target(
      name: "Runtime",
      dependencies: [
        "Base", "Membership", "Replication", "Slices", "Naming", "Tunnel", "Kubernetes", "Nodes",
        "Peer", "Wire", "CSodium", "CLZ4", "COpenSSL", "CLinux",
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "DequeModule", package: "swift-collections"),
        .product(name: "GRDB", package: "GRDB.swift"),
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdTLS", package: "hummingbird"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Metrics", package: "swift-metrics"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "Subprocess", package: "swift-subprocess"),
        .product(name: "SwiftASN1", package: "swift-asn1"),
        .product(name: "X509", package: "swift-certificates"),
        .product(name: "Yams", package: "Yams"),
      ], swiftSettings: settings),

    .executableTarget(
      name: "starlingd",
      dependencies: [
        "Runtime",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ], swiftSettings: settings, linkerSettings: executable),
    .executableTarget(
      name: "starling",
      dependencies: [
        "Base", "Replication", "Runtime", "Slices", "Wire",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: settings, linkerSettings: executable),
    // The gateway tunnel as a process of its own.
    .executableTarget(
      name: "starling-gateway",
      dependencies: [
        "Base", "Runtime",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ], swiftSettings: settings, linkerSettings: executable),

    // Nodes: an adapter layer of its own, since a plugin that runs for every Pod cannot carry Runtime.
    .target(
      name: "NodeHost", dependencies: ["Base", "CNode", "Kubernetes", "Nodes"],
      swiftSettings: settings),
    .executableTarget(
      name: "starling-node", dependencies: ["Base", "Kubernetes", "NodeHost", "Nodes"],
      swiftSettings: settings, linkerSettings: nodeExecutable),
    .executableTarget(
      name: "starling-cni", dependencies: ["Kubernetes", "NodeHost", "Nodes"],
      swiftSettings: settings, linkerSettings: nodeExecutable),

    // Brings a node agent what it is told: it speaks to the API server so that the agent need not.
    .executableTarget(
      name: "starling-node-feed",
      dependencies: [
        "Base", "Runtime",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ], swiftSettings: settings, linkerSettings: executable),

    .target(
      name: "Simulator",
      dependencies: [
        "Base", "Membership", "Replication", "Slices", "Naming", "Tunnel", "Kubernetes", "Peer",
      ],
      path: "Simulations/Simulator", swiftSettings: settings),
    .executableTarget(
      name: "starling-sim",
      dependencies: [
        "Base", "Peer", "Membership", "Replication", "Runtime", "Simulator", "Wire",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], path: "Simulations", exclude: ["README.md", "Simulator", "Mutants"],
      sources: ["starling-sim", "Scenarios"], swiftSettings: settings, linkerSettings: executable),
    // Hostile input for every decoder (`deploy/fuzz`), and how fast the state is.
    .executableTarget(
      name: "starling-fuzz",
      dependencies: [
        "Base", "Membership", "Replication", "Slices", "Naming", "Tunnel", "Peer", "Wire",
        "Runtime",
        .product(name: "NIOCore", package: "swift-nio"),
      ], path: "Tests/Fuzz", swiftSettings: settings),
    .executableTarget(
      name: "starling-bench", dependencies: ["Base", "Replication", "Peer", "Wire", "Runtime"],
      path: "Tests/Benchmarks", swiftSettings: settings),

    tests("Base"),
    tests("Membership", ["Base"]),
    tests("Replication", ["Base"], resources: [.copy("Vectors")]),
    tests("Slices", ["Base", "Replication"]),
    tests("Naming", ["Base", "Slices"]),
    tests("Tunnel", ["Base", "Simulator"]),
    tests("Kubernetes", ["Base", "Replication", "Slices"]),
    tests("Nodes", ["Base", "Kubernetes", "Slices"]),
    tests("Peer", ["Base", "Membership", "Replication", "Simulator", "Slices"]),
    tests("Wire", ["Base", "Membership", "Replication", "Peer"]),
    tests(
      "Runtime",
      [
        "Base", "Membership", "Replication", "Slices", "Naming", "Tunnel", "Kubernetes", "Nodes",
        "Peer", "Wire",
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "GRDB", package: "GRDB.swift"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Metrics", package: "swift-metrics"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "SwiftASN1", package: "swift-asn1"),
        .product(name: "X509", package: "swift-certificates"),
      ]),
  ]
)

if withPlugins {
  package.dependencies += [
    .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0")
  ]
}
