import Base
import Glibc
import Testing

@testable import Runtime

@Suite("Certificates")
struct CertificateTests {
  let node = Sodium.sha256([1])

  private func peer(_ cluster: String) -> SPIFFEIdentity {
    SPIFFEIdentity(clusterSet: testClusterSet, cluster: cluster, role: .peer(node))
  }

  @Test("identities have one spelling")
  func identities() {
    let gateway = SPIFFEIdentity(
      clusterSet: testClusterSet, cluster: "eu-1", role: .gateway(slice: "blue", replica: "0"))
    for identity in [peer("eu-1"), gateway] {
      #expect(SPIFFEIdentity(uri: identity.uri) == identity)
      #expect(SPIFFEIdentity(uri: identity.uri + "/") == nil)
      #expect(SPIFFEIdentity(uri: identity.uri + "/x") == nil)
      #expect(SPIFFEIdentity(uri: identity.uri.uppercased()) == nil)
      #expect(SPIFFEIdentity(uri: identity.uri.replacing("eu-1", with: "")) == nil)
      #expect(SPIFFEIdentity(uri: identity.uri.replacing("eu-1", with: "eu%31")) == nil)
    }
    for text in ["", "spiffe://", "https://x/cluster/a/peer/b", "spiffe://x/cluster/a/peer/b"] {
      #expect(SPIFFEIdentity(uri: text) == nil)
    }
  }

  @Test("a leaf is good under its own CA and no other")
  func issueAndVerify() async throws {
    let ca = try ClusterCA(cluster: "a", clusterSet: testClusterSet, now: testNow)
    let rival = try ClusterCA(cluster: "a", clusterSet: testClusterSet, now: testNow)
    let leaf = try ca.issue(peer("a"), now: testNow)
    #expect(ChainVerifier.claimedIdentity([leaf.certificate]) == peer("a"))
    #expect(
      try await ChainVerifier.verify([leaf.certificate], authority: ca.certificate) == peer("a"))
    #expect(
      try await ChainVerifier.verify(
        [leaf.certificate, ca.certificate], authority: ca.certificate) == peer("a"))
    await #expect(throws: ChainError.self) {
      try await ChainVerifier.verify([leaf.certificate], authority: rival.certificate)
    }
    // Bringing the CA along does not make it trusted.
    let forged = try rival.issue(peer("a"), now: testNow)
    await #expect(throws: ChainError.self) {
      try await ChainVerifier.verify(
        [forged.certificate, rival.certificate], authority: ca.certificate)
    }
    await #expect(throws: ChainError.self) {
      try await ChainVerifier.verify([ca.certificate], authority: ca.certificate)
    }
    #expect(leaf.certificate.count < 1_000)
  }

  @Test("a leaf is good in its time alone")
  func validity() async throws {
    let ca = try ClusterCA(cluster: "a", clusterSet: testClusterSet, now: testNow)
    var past = testNow
    past.wallMilliseconds -= 3 * 24 * 3_600_000
    let expired = try ca.issue(peer("a"), now: past)
    await #expect(throws: ChainError.self) {
      try await ChainVerifier.verify([expired.certificate], authority: ca.certificate)
    }
    var future = testNow
    future.wallMilliseconds += 2 * 3_600_000
    let early = try ca.issue(peer("a"), now: future)
    await #expect(throws: ChainError.self) {
      try await ChainVerifier.verify([early.certificate], authority: ca.certificate)
    }
  }

  @Test("any bytes for a chain are refused without a trap")
  func garbage() async throws {
    let ca = try ClusterCA(cluster: "a", clusterSet: testClusterSet, now: testNow)
    let leaf = try ca.issue(peer("a"), now: testNow)
    var rng = SeededGenerator(seed: 6)
    for _ in 0..<500 {
      var bytes = leaf.certificate
      bytes[Int.random(in: bytes.indices, using: &rng)] ^= UInt8.random(in: 1...255, using: &rng)
      await #expect(throws: ChainError.self) {
        try await ChainVerifier.verify([bytes], authority: ca.certificate)
      }
    }
    for chain: [[UInt8]] in [
      [], [[]], [[0x30]], [[UInt8](repeating: 0x30, count: 9_000)],
      Array(repeating: leaf.certificate, count: 5),
    ] {
      await #expect(throws: ChainError.malformed) {
        try await ChainVerifier.verify(chain, authority: ca.certificate)
      }
      #expect(ChainVerifier.claimedIdentity(chain) == nil)
    }
  }

  @Test("the CA is made once, kept private and refused when it is not")
  func persistence() throws {
    let directory = TemporaryDirectory()
    let first = try ClusterCA.openOrCreate(
      directory: directory.path, cluster: "a", clusterSet: testClusterSet, now: testNow)
    let second = try ClusterCA.openOrCreate(
      directory: directory.path, cluster: "a", clusterSet: testClusterSet, now: testNow)
    #expect(first.certificate == second.certificate)
    let path = directory.file("ca.pem")
    #expect(try PrivateFile.read(path, limit: 9_999).mode == 0o600)
    chmod(path, 0o644)
    #expect(throws: ClusterCAError.self) {
      try ClusterCA.openOrCreate(
        directory: directory.path, cluster: "a", clusterSet: testClusterSet, now: testNow)
    }
    chmod(path, 0o600)
    try PrivateFile.write(Array("nonsense".utf8), to: path)
    #expect(throws: ClusterCAError.self) {
      try ClusterCA.openOrCreate(
        directory: directory.path, cluster: "a", clusterSet: testClusterSet, now: testNow)
    }
  }
}
