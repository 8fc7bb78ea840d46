import Base
import Testing

@testable import Slices

@Suite struct ClusterRecordTests {
  private static func key(_ number: UInt8) -> PublicKey {
    PublicKey([UInt8](repeating: number, count: 32)) ?? PublicKey(words: (0, 0, 0, 0))
  }

  /// As the peer alone would write it.
  private static func own(_ number: UInt8, version: String = "1") -> ClusterInfo {
    ClusterInfo(
      certificateAuthority: [number],
      peers: [.init(key: key(number), addresses: ["192.0.2.\(number):7946"])], version: version)
  }

  private static func keep(
    _ record: ClusterInfo?, _ number: UInt8, version: String = "1", admitted: [UInt8] = [1, 2, 3]
  ) -> ClusterInfo {
    ClusterRecordReconciler.desired(
      record, own: own(number, version: version), admitted: Set(admitted.map { key($0) }))
  }

  @Test func peersThatWriteAtTheSameTimeComeToOneRecord() throws {
    // Each has written itself; whatever is in force, the others put themselves in.
    for winner: UInt8 in 1...3 {
      var record = Self.keep(nil, winner)
      for number: UInt8 in [2, 3, 1, 3, 2, 1] { record = Self.keep(record, number) }
      #expect(record.peers.map(\.key) == [1, 2, 3].map { Self.key($0) })
      #expect((1...3).map { record.certificateAuthority(of: Self.key($0)) } == [[1], [2], [3]])
      #expect(record.certificateAuthority == [winner])
      #expect(record.peers.filter(\.certificateAuthority.isEmpty).map(\.key) == [Self.key(winner)])
      #expect(try ClusterInfo(record.value) == record)
      for number: UInt8 in 1...3 {
        #expect(Self.keep(record, number) == record, "who has nothing to add writes nothing")
        #expect(record.certificateAuthority(of: Self.key(number)) == [number])
      }
    }
  }

  @Test func theCertificateAuthorityChangesOnlyWhereNobodyHasItAnyMore() {
    let both = Self.keep(Self.keep(nil, 2), 1)
    #expect(both.certificateAuthority == [2])
    // The second is admitted no longer.
    let left = Self.keep(both, 1, admitted: [1])
    #expect(left.certificateAuthority == [1])
    #expect(left.peers.map(\.key) == [Self.key(1)])
  }

  @Test func recordsOfEarlierReleasesAreCompleted() {
    let record = Self.keep(Self.own(2), 1)
    #expect(record.certificateAuthority == [2])
    #expect(record.certificateAuthority(of: Self.key(2)) == [2])
    #expect(record.certificateAuthority(of: Self.key(1)) == [1])
  }

  @Test func twoReleasesDoNotUndoOneAnother() {
    var record = Self.keep(Self.keep(nil, 1, version: "1"), 2, version: "2")
    for _ in 0..<3 {
      let before = record
      record = Self.keep(Self.keep(record, 2, version: "2"), 1, version: "1")
      #expect(record == before)
    }
    #expect(record.version == "1")
  }

  @Test func aPeerByItselfWritesItsRecordOnce() {
    let record = Self.keep(nil, 1)
    #expect(record == Self.own(1))
    #expect(Self.keep(record, 1) == record)
  }

  @Test func thereIsABound() {
    var record = Self.keep(nil, 1)
    let all = Array(UInt8(1)...UInt8(40))
    for number in all { record = Self.keep(record, number, admitted: all) }
    #expect(record.peers.count == ClusterInfo.peerLimit)
    #expect((try? ClusterInfo(record.value)) == record)
  }
}
