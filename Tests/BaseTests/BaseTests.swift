import Testing

@testable import Base

@Test func hexRoundTrips() {
  #expect([UInt8](hex: "00ff10")?.hex == "00ff10")
  #expect([UInt8](hex: "0f1") == nil)
}
