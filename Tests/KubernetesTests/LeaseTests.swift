import Base
import Kubernetes
import Testing

/// Replicas that share one lease on a server with optimistic concurrency, in virtual time.
private struct Replicas {
  var electors: [LeaseElector]
  var now = Instant.zero
  /// Each replica's wall clock is wrong in its own way.
  var skew: [Int64]
  var lease: KubernetesObject?
  var version = 0
  var isServerAway = false
  var isCut: Set<Int> = []
  var requests = 0
  /// A fence cannot hold against somebody who deletes the lease.
  var isFenced = true

  init(_ count: Int) {
    electors = (0..<count).map {
      LeaseElector(
        .init(
          lease: ObjectKey(namespace: "starling-system", name: "starling"), identity: "r\($0)"),
        seed: UInt64($0))
    }
    skew = (0..<count).map { Int64($0) * 3_600_000 }
    for index in electors.indices { handle(index, .start) }
  }

  mutating func handle(_ index: Int, _ input: LeaseElector.Input) {
    let wall = UInt64(1_700_000_000_000 + skew[index] + now.nanoseconds / 1_000_000)
    var effects: [LeaseElector.Effect] = []
    electors[index].handle(
      input, now: Now(instant: now, wallMilliseconds: wall), effects: &effects)
    for case .send(let call, let request) in effects {
      requests += 1
      if isServerAway || isCut.contains(index) {
        handle(index, .failed(call, .unreachable("away")))
      } else {
        handle(index, .answered(call, answer(request)))
      }
    }
  }

  private mutating func answer(_ request: APIRequest) -> APIResponse {
    func failure(_ code: Int, _ reason: String) -> APIResponse {
      CollectionServer.failure(code, reason)
    }
    if request.method == .get {
      return lease.map { APIResponse(status: 200, body: $0.json.bytes) }
        ?? failure(404, "NotFound")
    }
    guard let body = request.body, let json = try? JSON(parsing: body),
      var object = KubernetesObject(json)
    else { return failure(400, "BadRequest") }
    if request.method == .post, lease != nil { return failure(409, "AlreadyExists") }
    if request.method == .put, object.resourceVersion != lease?.resourceVersion {
      return failure(409, "Conflict")
    }
    version += 1
    object.json["metadata"]?["resourceVersion"] = .string("\(version)")
    lease = object
    return APIResponse(status: 200, body: object.json.bytes)
  }

  mutating func advance(_ delay: Duration, without stopped: Set<Int> = []) {
    let end = now + delay
    while let next = electors.indices.filter({ !stopped.contains($0) })
      .min(by: { electors[$0].nextDeadline < electors[$1].nextDeadline }),
      electors[next].nextDeadline <= end
    {
      now = max(now, electors[next].nextDeadline)
      handle(next, .tick)
      if isFenced { #expect(writers.filter { !stopped.contains($0) }.count <= 1) }
    }
    now = end
  }

  var holders: [Int] { electors.indices.filter { electors[$0].role == .holder } }
  var writers: [Int] { electors.indices.filter { electors[$0].mayWrite(now: now) } }
  var elected: Int? { holders.first }
}

@Suite struct LeaseTests {
  @Test func oneOfManyHoldsItWhateverTheClocks() {
    var world = Replicas(3)
    world.advance(.seconds(300))
    #expect(world.holders.count == 1 && world.writers == world.holders)
    #expect(world.lease?.spec["leaseTransitions"]?.integer == 0)
    // Three replicas cost about twelve requests a minute each.
    #expect(world.requests < 3 * 13 * 5 + 10)
  }

  @Test func anExpiredLeaseIsTaken() throws {
    var world = Replicas(3)
    let first = try #require(world.elected)
    world.advance(.seconds(60))
    world.advance(.seconds(12), without: [first])
    #expect(world.holders == [first])
    world.advance(.seconds(15), without: [first])
    #expect(world.holders.count == 2 && world.lease?.spec["leaseTransitions"]?.integer == 1)
    // The old one comes back, finds the other and steps down before it may write.
    world.advance(.seconds(6))
    #expect(world.holders.count == 1 && world.holders != [first])
  }

  @Test func aConfirmedDeathIsTakenAtOnce() throws {
    var world = Replicas(3)
    let first = try #require(world.elected)
    world.advance(.seconds(60), without: [])
    for index in world.electors.indices where index != first {
      world.handle(index, .died("r\(first)"))
    }
    #expect(world.holders.filter { $0 != first }.count == 1)
    world.advance(.seconds(60), without: [first])
    #expect(world.holders.filter { $0 != first }.count == 1)
  }

  @Test func aDeathOfSomebodyElseChangesNothing() throws {
    var world = Replicas(3)
    let first = try #require(world.elected)
    world.handle(1, .died("r9"))
    world.handle(2, .died("r1"))
    world.advance(.seconds(30))
    #expect(world.holders == [first])
  }

  @Test func theHolderActsOnWhileTheServerIsAway() throws {
    var world = Replicas(3)
    let first = try #require(world.elected)
    world.isServerAway = true
    let before = world.requests
    world.advance(.seconds(600))
    #expect(world.holders == [first] && world.writers.isEmpty)
    #expect(world.requests - before < 3 * 200)
    world.isServerAway = false
    world.advance(.seconds(12))
    #expect(world.holders.count == 1 && world.writers == world.holders)
  }

  @Test func aHolderThatIsCutOffStepsDownWhenItIsBack() throws {
    var world = Replicas(2)
    let first = try #require(world.elected)
    world.isCut = [first]
    world.advance(.seconds(60))
    // Both act; only one may write.
    #expect(world.holders.count == 2 && world.writers.count == 1 && world.writers != [first])
    world.isCut = []
    world.advance(.seconds(10))
    #expect(world.holders.count == 1 && world.holders != [first])
  }

  @Test func releasingHandsItOver() throws {
    var world = Replicas(2)
    let first = try #require(world.elected)
    world.handle(first, .release)
    #expect(world.lease?.spec["holderIdentity"]?.string == "")
    world.advance(.seconds(6), without: [first])
    #expect(world.holders.count == 1 && world.holders != [first])
  }

  @Test func aRestartedHolderGoesOn() throws {
    var world = Replicas(2)
    let first = try #require(world.elected)
    world.electors[first] = LeaseElector(world.electors[first].configuration, seed: 99)
    world.handle(first, .start)
    #expect(world.holders == [first] && world.lease?.spec["leaseTransitions"]?.integer == 0)
  }

  @Test func aDeletedLeaseIsMadeAgain() {
    var world = Replicas(2)
    world.lease = nil
    world.isFenced = false
    world.advance(.seconds(12))
    #expect(world.holders.count == 1 && world.lease != nil)
  }

  @Test func aForeignLeaseWithAnAbsurdDurationExpires() {
    var world = Replicas(0)
    var lease = KubernetesObject(
      .leases, ObjectKey(namespace: "starling-system", name: "starling"),
      ["spec": ["holderIdentity": "stranger", "leaseDurationSeconds": 9_000_000_000]])
    lease.json["metadata"]?["resourceVersion"] = "1"
    world.lease = lease
    world.electors = Replicas(1).electors
    world.electors[0] = LeaseElector(world.electors[0].configuration, seed: 1)
    world.skew = [0]
    world.handle(0, .start)
    world.advance(.seconds(50))
    #expect(world.holders.isEmpty)
    world.advance(.seconds(30))
    #expect(world.holders == [0])
  }
}
