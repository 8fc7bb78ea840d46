import Base
import Kubernetes
import Testing

/// A machine and its server, joined by hand.
private struct Watched {
  var machine: WatchMachine
  var server = CollectionServer()
  var now = Instant.zero
  var effects: [WatchMachine.Effect] = []
  var events: [WatchEvent] = []
  var changed: Set<ObjectKey> = []
  var requests = 0
  /// The watch that is open: its call, and how far it was served.
  var stream: (call: WatchMachine.Call, version: Int)?
  /// Answers the next requests in place of the server.
  var refusals: [APIResponse] = []

  init(pageSize: Int = 3, optional: Bool = false, limits: ObjectStore.Limits = .standard) {
    var configuration = WatchConfiguration(.services)
    configuration.pageSize = pageSize
    configuration.isOptional = optional
    configuration.limits = limits
    machine = WatchMachine(configuration, seed: 7)
  }

  mutating func handle(_ input: WatchMachine.Input) {
    var effects: [WatchMachine.Effect] = []
    machine.handle(input, now: now, effects: &effects)
    for effect in effects { perform(effect) }
  }

  private mutating func perform(_ effect: WatchMachine.Effect) {
    effects.append(effect)
    switch effect {
    case .event(let event): events.append(event)
    case .changed(let keys): changed.formUnion(keys)
    case .cancel(let call): if stream?.call == call { stream = nil }
    case .synced: break
    case .send(let call, let request, let isStream):
      requests += 1
      if !refusals.isEmpty { return handle(.answered(call, refusals.removeFirst())) }
      guard isStream else { return handle(.answered(call, server.answer(list: request))) }
      switch server.open(request) {
      case .success(let version):
        stream = (call, version)
        handle(.opened(call))
      case .failure(let failure):
        handle(.answered(call, CollectionServer.failure(failure.code, failure.reason)))
      }
    }
  }

  /// Serves what the open watch has not told, in pieces; a forgotten version as an `ERROR` event.
  mutating func serve(pieces size: Int = 7, cutAfter limit: Int = .max) {
    guard let (call, version) = stream else { return }
    guard let (bytes, reached) = server.lines(since: version) else {
      return handle(.received(call, CollectionServer.goneEvent()))
    }
    var rest = bytes.prefix(limit)
    let isCut = bytes.count > limit
    if !isCut { stream?.version = reached }
    while !rest.isEmpty {
      let piece = rest.prefix(size)
      rest = rest.dropFirst(piece.count)
      handle(.received(call, Array(piece)))
    }
    if isCut, stream?.call == call {
      stream = nil
      handle(.ended(call, .unreachable("reset")))
    }
  }

  mutating func advance(_ delay: Duration) {
    let end = now + delay
    while machine.nextDeadline <= end {
      now = max(now, machine.nextDeadline)
      handle(.tick)
    }
    now = end
  }

  var isEqual: Bool {
    machine.store.objects.map(\.json)
      == server.objects.keys.sorted().map {
        server.objects[$0]?.json ?? .null
      }
  }
}

@Suite struct WatchTests {
  @Test func listsInPagesThenWatches() {
    var world = Watched()
    for index in 0..<10 { world.server.write("s\(index)", value: 1) }
    world.handle(.start)
    #expect(world.machine.isSynced && world.isEqual && world.server.pagesServed == 4)
    #expect(world.effects.contains(.synced))
    world.changed = []
    world.server.write("s3", value: 2)
    world.server.delete("s4")
    world.serve()
    #expect(world.isEqual && world.changed.map(\.name).sorted() == ["s3", "s4"])
    #expect(world.requests == 5)
  }

  @Test func goneOnOpeningListsAgainAndYieldsDeletions() {
    var world = Watched()
    for index in 0..<5 { world.server.write("s\(index)", value: 1) }
    world.handle(.start)
    if let call = world.stream?.call {
      world.stream = nil
      world.handle(.ended(call, nil))
    }
    world.server.delete("s1")
    world.server.write("s9", value: 1)
    world.server.compact()
    world.changed = []
    world.advance(.seconds(2))
    #expect(world.events.contains(.gone) && world.isEqual)
    #expect(world.changed.map(\.name).sorted() == ["s1", "s9"])
  }

  @Test func goneAsAnEventListsAgainAndYieldsDeletions() {
    var world = Watched()
    for index in 0..<5 { world.server.write("s\(index)", value: 1) }
    world.handle(.start)
    world.server.delete("s1")
    world.server.compact()
    world.serve()
    world.advance(.seconds(2))
    #expect(world.events.contains(.gone) && world.isEqual && world.machine.store.count == 4)
  }

  @Test func anExpiredTokenIsReadWithoutPages() {
    var world = Watched()
    for index in 0..<10 { world.server.write("s\(index)", value: 1) }
    world.server.tokensExpire = true
    world.handle(.start)
    world.advance(.seconds(1))
    #expect(world.isEqual && world.machine.isSynced && world.server.pagesServed == 3)
  }

  @Test func aCutLineIsToldAgain() {
    var world = Watched()
    world.handle(.start)
    world.server.write("a", value: 1)
    world.server.write("b", value: 1)
    world.serve(cutAfter: 150)
    #expect(world.machine.store.count == 1)
    world.advance(.seconds(1))
    world.serve()
    #expect(world.isEqual && world.server.pagesServed == 1)
  }

  @Test func bookmarksMoveTheVersionOn() {
    var world = Watched()
    world.handle(.start)
    let (bytes, version) = world.server.bookmark()
    world.server.write("elsewhere", value: 1)
    world.server.delete("elsewhere")
    let later = world.server.bookmark()
    world.server.compact()
    if let call = world.stream?.call {
      world.handle(.received(call, bytes + later.bytes))
      world.stream = nil
      world.handle(.ended(call, nil))
    }
    world.advance(.seconds(1))
    #expect(later.version > version && !world.events.contains(.gone))
    #expect(world.stream?.version == later.version && world.server.pagesServed == 1)
  }

  @Test func silenceEndsAWatch() {
    var world = Watched()
    world.handle(.start)
    world.advance(.seconds(99))
    #expect(world.server.watchesOpened == 1)
    world.advance(.seconds(2))
    #expect(world.server.watchesOpened == 2 && world.events.contains(.silent))
    #expect(world.server.pagesServed == 1)
    // An idle hour costs a request every 100 seconds.
    world.advance(.seconds(3600))
    #expect(world.server.watchesOpened <= 39)
  }

  @Test func throttlingIsObeyed() {
    var world = Watched()
    world.refusals = [CollectionServer.failure(429, "TooManyRequests", retryAfter: "20")]
    world.handle(.start)
    world.advance(.seconds(19))
    #expect(world.requests == 1)
    world.advance(.seconds(11))
    #expect(world.machine.isSynced)
  }

  @Test func stormsBackOff() {
    var world = Watched()
    world.refusals = Array(
      repeating: CollectionServer.failure(429, "TooManyRequests"), count: 100_000)
    world.handle(.start)
    world.advance(.seconds(600))
    #expect((20...60).contains(world.requests))

    // A server that accepts every list and refuses every watch.
    var gone = Watched()
    gone.handle(.start)
    let before = gone.requests
    for _ in 0..<100_000 where gone.now < Instant.zero + .seconds(600) {
      gone.server.write("x", value: 1)
      gone.server.compact()
      gone.serve()
      gone.now = max(gone.now, gone.machine.nextDeadline)
      gone.server.write("x", value: 2)
      gone.handle(.tick)
    }
    #expect(gone.requests - before < 200)
  }

  @Test func watchesThatCloseAtOnceBackOff() {
    var world = Watched()
    world.handle(.start)
    var closed = 0
    for _ in 0..<100_000 where world.now < Instant.zero + .seconds(600) {
      if let call = world.stream?.call {
        world.stream = nil
        closed += 1
        world.handle(.ended(call, nil))
      }
      world.now = max(world.now, world.machine.nextDeadline)
      world.handle(.tick)
    }
    #expect((20...60).contains(closed))
  }

  @Test func aTypeThatIsNotServedHasNoObjects() {
    var world = Watched(optional: true)
    world.refusals = [CollectionServer.failure(404, "NotFound")]
    world.handle(.start)
    #expect(world.machine.isSynced && !world.machine.isServed && world.machine.store.count == 0)
    world.server.write("a", value: 1)
    world.advance(.seconds(13))
    #expect(world.machine.isServed && world.isEqual)
  }

  @Test func tooManyObjectsAreNoDeletions() {
    var world = Watched(limits: .init(objects: 4, bytes: 1 << 20))
    for index in 0..<6 { world.server.write("s\(index)", value: 1) }
    world.handle(.start)
    #expect(world.machine.store.isTruncated && world.machine.store.count == 4)
    #expect(world.events.filter { $0 == .truncated }.count == 1)
  }

  @Test func answersToOldRequestsAreIgnored() {
    var world = Watched()
    world.server.write("a", value: 1)
    world.handle(.start)
    let stale = APIResponse(status: 200, body: Array(#"{"metadata":{"resourceVersion":"1"}}"#.utf8))
    world.handle(.answered(1, stale))
    world.handle(.received(1, CollectionServer.goneEvent()))
    world.handle(.ended(1, .timedOut))
    #expect(world.isEqual && world.stream != nil)
  }

  @Test func hostileBytesAreNoEvents() {
    var rng = SeededGenerator(seed: 9)
    for _ in 0..<300 {
      var world = Watched()
      world.server.write("a", value: 1)
      world.handle(.start)
      guard let call = world.stream?.call else { continue }
      var line = CollectionServer.goneEvent()
      switch Int.random(in: 0..<4, using: &rng) {
      case 0: line = JSONTests.random(&rng, depth: 4).bytes + [0x0a]
      case 1:
        line =
          JSON.object([
            "type": "ADDED", "object": ["metadata": JSONTests.random(&rng, depth: 3)],
          ]).bytes + [0x0a]
      case 2: line = (0..<64).map { _ in .random(in: 0...255, using: &rng) }
      default: line[Int.random(in: line.indices, using: &rng)] = 0x7b
      }
      world.handle(.received(call, line))
      if let call = world.stream?.call { world.handle(.ended(call, nil)) }
      world.advance(.seconds(60))
      world.serve()
      #expect(world.isEqual)
    }
  }

  /// Whatever happens on the way, once it is quiet the store is the server's.
  @Test(arguments: UInt64(0)..<40) func anyHistoryConverges(seed: UInt64) {
    var rng = SeededGenerator(seed: seed)
    var world = Watched(pageSize: Int.random(in: 1...6, using: &rng))
    world.handle(.start)
    for _ in 0..<400 {
      let name = "s\(Int.random(in: 0..<12, using: &rng))"
      switch Int.random(in: 0..<12, using: &rng) {
      case 0...3: world.server.write(name, value: .random(in: 0...3, using: &rng))
      case 4: world.server.delete(name)
      case 5: world.serve(pieces: Int.random(in: 1...40, using: &rng))
      case 6: world.serve(cutAfter: Int.random(in: 0...300, using: &rng))
      case 7: world.server.compact()
      case 8: world.server.tokensExpire.toggle()
      case 9: world.advance(.milliseconds(Int.random(in: 0...3000, using: &rng)))
      case 10: world.refusals.append(CollectionServer.failure(503, "ServiceUnavailable"))
      default:
        guard let call = world.stream?.call else { continue }
        world.stream = nil
        world.handle(.ended(call, Bool.random(using: &rng) ? nil : .timedOut))
      }
    }
    world.refusals = []
    for _ in 0..<20 {
      world.advance(.seconds(40))
      world.serve()
    }
    let isEqual = world.isEqual
    #expect(isEqual)
  }
}
