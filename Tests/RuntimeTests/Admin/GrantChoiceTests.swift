import Base
import Replication
import Testing

@testable import Runtime

@Suite struct GrantChoiceTests {
  let key = PublicKey(words: (7, 7, 7, 7))
  let now = APITime(milliseconds: AdminWorld.start)

  private func choose(
    _ needs: [NeededRight], among grants: [APIGrant]
  ) throws -> GrantChoice {
    try GrantChoice(of: key, for: needs, among: grants, now: now)
  }

  private func root(_ id: UInt64 = 100) -> APIGrant {
    var grant = APIGrant.of(.grant, .admit, .read, .slice("*"), id: id, under: nil)
    grant.subject = nil
    grant.rootKeys = [key]
    grant.rootThreshold = 1
    return grant
  }

  @Test func takesTheLeastPowerful() throws {
    let narrow = APIGrant.of(.slice("blue-*"), id: 2, under: 1, subject: key)
    let wide = APIGrant.of(.slice("*"), .admit, id: 3, under: 1, subject: key)
    let choice = try choose([.hold(.slice("blue-1"))], among: [root(), wide, narrow])
    #expect(choice.grant == narrow.id)
    #expect(try choose([.hold(.slice("red"))], among: [root(), wide, narrow]).grant == wide.id)
    let atTheRoot = try choose([.give(.slice("red"))], among: [root(), wide, narrow])
    #expect(atTheRoot.grant == root().id)
    #expect(atTheRoot.threshold == 1)
  }

  @Test func saysWhatIsMissing() throws {
    let narrow = APIGrant.of(.slice("blue"), id: 2, under: 1, subject: key)
    let error = #expect(throws: AdminError.self) {
      try choose([.hold(.slice("red"))], among: [narrow])
    }
    #expect(error?.message.contains("needs slice:red and holds slice:blue") == true)
    #expect(error?.status == .failed)
  }

  @Test func strangersAndTheExpired() {
    let stranger = #expect(throws: AdminError.self) { try choose([.hold(.admit)], among: []) }
    #expect(stranger?.message.contains("holds no grant") == true)
    let old = APIGrant.of(
      .admit, id: 2, under: 1, subject: key, notAfter: APITime(milliseconds: 1000))
    let expired = #expect(throws: AdminError.self) { try choose([.hold(.admit)], among: [old]) }
    #expect(expired?.message.contains("expired") == true)
    let void = APIGrant.of(.admit, id: 2, under: 1, subject: key, state: .void)
    #expect(throws: AdminError.self) { try choose([.hold(.admit)], among: [void]) }
  }

  @Test func delegationNeedsDepth() throws {
    let leaf = APIGrant.of(.grant, .admit, id: 2, under: 1, subject: key, depth: 0)
    #expect(throws: AdminError.self) { try choose([.give(.admit)], among: [leaf]) }
    let branch = APIGrant.of(.grant, .admit, id: 3, under: 1, subject: key, depth: 1)
    #expect(try choose([.give(.admit)], among: [leaf, branch]).grant == branch.id)
    // Tokens take no depth.
    #expect(try choose([.give(.enrol("eu-1"))], among: [leaf]).grant == leaf.id)
  }

  @Test func floorsAreForThoseAbove() throws {
    let own = APIGrant.of(.slice("blue"), id: 2, under: 1, subject: key)
    let other = APIGrant.of(.slice("red"), id: 3, under: 1)
    let detail = APIGrantDetail(grant: other, chain: [root()], live: [], subtree: [])
    let need = Revocation(detail).need
    #expect(throws: AdminError.self) { try choose([need], among: [own]) }
    #expect(try choose([need], among: [own, root()]).grant == root().id)
    let ownEnd = Revocation(APIGrantDetail(grant: own, chain: [root()], live: [], subtree: []))
    #expect(try choose([ownEnd.need], among: [own]).grant == own.id)
  }
}

@Suite struct RevocationTests {
  let now = APITime(milliseconds: AdminWorld.start)

  private func revocation() -> Revocation {
    let grant = APIGrant.of(.slice("blue"), .grant, id: 0x1111_0000_0000_0000, under: 1, depth: 1)
    let child = APIGrant.of(.slice("blue"), id: 0x2222_0000_0000_0000, under: grant.id.words.0)
    let deep = APIGrant.of(.slice("blue"), id: 0x3333_0000_0000_0000, under: child.id.words.0)
    let change = APIChangeset(
      id: Digest(words: (0x4444_0000_0000_0000, 0, 0, 0)), state: .counting, scope: .clusterset,
      under: grant.id, author: PublicKey(words: (1, 1, 1, 1)), hlc: .zero, message: "blue",
      bytes: 1)
    return Revocation(
      APIGrantDetail(grant: grant, chain: [], live: [change], subtree: [child, deep]))
  }

  @Test func keepsWhatHangsDirectlyUnderIt() throws {
    let revocation = revocation()
    let floor = try revocation.floor(keeping: .all)
    #expect(floor.time == .max)
    #expect(floor.keep.map(\.short) == ["222200000000", "444400000000"])
    #expect(try revocation.floor(keeping: .none).keep.isEmpty)
    #expect(try revocation.floor(keeping: .these(["4444"])).keep.count == 1)
    #expect(throws: AdminError.self) { try revocation.floor(keeping: .these(["3333"])) }
    #expect(throws: AdminError.self) { try revocation.floor(keeping: .these(["4"])) }
  }

  @Test func saysWhatBecomesOfIt() {
    let text = revocation().table(keeping: .these(["4444"]), now: now).text(wide: false)
    #expect(text.contains("444400000000"))
    #expect(text.contains("kept"))
    #expect(text.contains("ends"))
  }

  @Test func lookup() throws {
    let subject = PublicKey(words: (0xcccc_cccc_0000_0000, 0, 0, 1))
    let grants = [
      APIGrant.of(.admit, id: 0xaaaa_aa00_0000_0000, under: 1, subject: subject),
      APIGrant.of(.admit, id: 0xaaaa_ab00_0000_0000, under: 1, subject: subject),
    ]
    #expect(try GrantLookup.find("cccccc", in: grants).count == 2)
    #expect(try GrantLookup.find("aaaaaa", in: grants).map(\.id) == [grants[0].id])
    #expect(throws: AdminError.self) { try GrantLookup.find("aaaa", in: grants) }
    #expect(throws: AdminError.self) { try GrantLookup.find("bbbbbb", in: grants) }
    #expect(throws: AdminError.self) { try GrantLookup.find("blue", in: grants) }
  }
}
