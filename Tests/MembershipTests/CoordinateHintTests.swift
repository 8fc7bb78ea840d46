import Base
import Testing

@testable import Membership

@Suite struct CoordinateHintTests {
  private func hint(_ prefix: UInt64, error: UInt16) -> Membership.SyncRecords.Hint {
    .init(
      prefix: prefix, coordinate: NetworkCoordinate(x: 1, y: -2, z: 3, height: 4, error: error))
  }

  @Test func whatIsWrittenIsRead() throws {
    var writer = ByteWriter(reserving: 64)
    for number in 1...UInt64(CoordinateHints.limit) {
      CoordinateHints.write(hint(number, error: 100), to: &writer)
    }
    let read = try CoordinateHints.read(writer.bytes)
    #expect(read.map(\.prefix) == Array(1...UInt64(CoordinateHints.limit)))
    #expect(read.allSatisfy { $0.coordinate == hint(1, error: 100).coordinate })
    #expect(writer.bytes.count <= Membership.attachmentLimit)
    #expect(throws: WireError.self) { try CoordinateHints.read(writer.bytes + [0]) }
    #expect(throws: WireError.self) { try CoordinateHints.read(writer.bytes + writer.bytes) }
  }

  /// Members used to know the places of those only that they had probed themselves.
  @Test func aLargeFleetLearnsPlacesFasterThanItProbes() {
    let network = ScenarioTests.settled(150, seed: 3)
    network.run(for: .seconds(20))
    let known = network.nodes[0].members.count { $0.coordinate.isKnown }
    // 35 probes, and as many hints.
    #expect(known > 50)
  }

  @Test func theSurerWordWins() throws {
    let network = ScenarioTests.settled(5, seed: 4)
    var node = network.nodes[0]
    let other = try #require(node.members.first)
    node.learn(hint(other.id.words.0, error: .max - 1))
    #expect(node.member(other.id)?.coordinate == other.coordinate)
    node.learn(hint(other.id.words.0, error: 0))
    #expect(node.member(other.id)?.coordinate.error == 0)
  }
}
