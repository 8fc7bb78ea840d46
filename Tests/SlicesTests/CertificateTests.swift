import Testing

@testable import Slices

@Suite struct CertificateTests {
  private typealias Leaf = CertificateReconciler.Leaf
  private static let rotation = SliceRotation(interval: .seconds(3_600), overlap: .seconds(600))
  private static let start: UInt64 = 1_700_000_000_000
  private static let lifetime: Int64 = 4_200_000

  private func plan(_ leaves: [Leaf], at seconds: UInt64) -> CertificateReconciler.Plan {
    CertificateReconciler.plan(
      wanted: ["blue": Self.rotation], replicas: ["0"], observed: leaves,
      now: Self.start + seconds * 1000)
  }

  private func leaf(_ slice: String = "blue", _ replica: String = "0", at seconds: UInt64 = 0)
    -> Leaf
  {
    let issued = Self.start + seconds * 1000
    return Leaf(
      slice: slice, replica: replica, issuedMilliseconds: issued,
      expiresMilliseconds: issued + UInt64(Self.lifetime))
  }

  @Test func oneLeafForEachSliceAndReplica() {
    let plan = CertificateReconciler.plan(
      wanted: ["blue": Self.rotation, "a": Self.rotation], replicas: ["1", "0"], observed: [],
      now: Self.start)
    #expect(
      plan.actions
        == [("a", "0"), ("a", "1"), ("blue", "0"), ("blue", "1")].map {
          .issue(slice: $0.0, replica: $0.1, lifetimeMilliseconds: Self.lifetime)
        })
    #expect(plan.nextMilliseconds == Self.start + 3_600_000)
  }

  @Test func aLeafStaysForItsIntervalAndNoLonger() {
    #expect(plan([leaf()], at: 3_599).actions.isEmpty)
    #expect(plan([leaf()], at: 3_599).nextMilliseconds == Self.start + 3_600_000)
    #expect(plan([leaf()], at: 3_600).actions.count == 1)
  }

  @Test func aLongerIntervalDoesNotOutliveTheLeaf() {
    let long = SliceRotation(interval: .seconds(86_400), overlap: .seconds(600))
    let plan = CertificateReconciler.plan(
      wanted: ["blue": long], replicas: ["0"], observed: [leaf()], now: Self.start + 1_000)
    #expect(plan.actions.isEmpty)
    #expect(plan.nextMilliseconds == Self.start + 3_600_000)
  }

  @Test func whatIsNoLongerServedIsForgotten() {
    let plan = plan([leaf(), leaf("red"), leaf("blue", "1")], at: 1)
    #expect(
      plan.actions == [
        .forget(slice: "blue", replica: "1"), .forget(slice: "red", replica: "0"),
      ])
  }

  /// The clock was a year ahead and was set right.
  @Test func aLeafFromTheFutureIsReplaced() {
    #expect(plan([leaf(at: 31_536_000)], at: 0).actions.count == 1)
    #expect(plan([leaf(at: 30)], at: 0).actions.isEmpty)
  }
}
