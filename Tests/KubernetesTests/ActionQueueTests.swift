import Base
import Kubernetes
import Testing

@Suite struct ActionQueueTests {
  private func action(
    _ name: String, _ kind: ObjectDiffer.Action.Kind = .update, value: Int64 = 1, version: Int = 1,
    owner: String = ""
  ) -> ObjectDiffer.Action {
    let id = ObjectID(.services, ObjectKey(namespace: "n", name: name))
    let object = KubernetesObject(.services, id.key, ["value": .integer(value)])
    return ObjectDiffer.Action(
      id: id, kind: kind, request: .apply(object, .services), resourceVersion: "\(version)",
      owner: owner)
  }

  /// A queue whose requests are answered by `answer`, in virtual time.
  private struct Driver {
    var queue = ActionQueue(seed: 1)
    var now = Instant.zero + .seconds(1)
    var sent: [ObjectDiffer.Action] = []
    var compares = 0
    var open: [(ActionQueue.Call, ObjectDiffer.Action)] = []
    var answer: ((ObjectDiffer.Action) -> APIResponse?)? = { _ in APIResponse(status: 200) }

    mutating func perform(_ effects: [ActionQueue.Effect]) {
      for effect in effects {
        if case .compare = effect { compares += 1 }
        guard case .send(let call, let action) = effect else { continue }
        sent.append(action)
        var next: [ActionQueue.Effect] = []
        guard let answer else {
          open.append((call, action))
          continue
        }
        if let response = answer(action) {
          queue.answered(call, response, now: now, effects: &next)
        } else {
          queue.failed(call, .unreachable("away"), now: now, effects: &next)
        }
        perform(next)
      }
    }

    mutating func replace(_ actions: [ObjectDiffer.Action]) {
      var effects: [ActionQueue.Effect] = []
      queue.replace(actions, now: now, effects: &effects)
      perform(effects)
    }

    /// Compares every 100 ms, as a watch that never catches up would make it.
    mutating func run(_ duration: Duration, _ actions: [ObjectDiffer.Action]) {
      let end = now + duration
      while now < end {
        now = now + .milliseconds(100)
        replace(actions)
      }
    }
  }

  @Test func fewAreUnderWayAtOnceAndEachObjectOnce() {
    var driver = Driver()
    driver.answer = nil
    let many = (0..<20).map { action("s\($0)") }
    driver.replace(many)
    #expect(driver.sent.count == ActionQueue.concurrency)
    driver.replace(many)
    #expect(driver.sent.count == ActionQueue.concurrency)
    while !driver.open.isEmpty {
      let (call, _) = driver.open.removeFirst()
      var effects: [ActionQueue.Effect] = []
      driver.queue.answered(call, APIResponse(status: 200), now: driver.now, effects: &effects)
      driver.perform(effects)
    }
    #expect(Set(driver.sent.map(\.id)).count == 20)
  }

  @Test(arguments: [200, 422, 500])
  func whatReplacesAnObjectIsWrittenBeforeThatGoes(status: Int) {
    var driver = Driver()
    driver.answer = nil
    let plan = [
      action("new", .create, owner: "web"), action("old", .delete, owner: "web"),
      action("other", .delete, owner: "db"), action("apart", .delete),
    ]
    driver.replace(plan)
    #expect(driver.sent.map(\.id.key.name) == ["new", "other", "apart"])
    #expect(driver.queue.nextDeadline == .distantFuture, "nothing waits for time")
    driver.replace(plan)
    #expect(driver.sent.count == 3)
    var effects: [ActionQueue.Effect] = []
    let answer =
      status == 200 ? APIResponse(status: 200) : CollectionServer.failure(status, "Refused")
    driver.queue.answered(driver.open[0].0, answer, now: driver.now, effects: &effects)
    driver.perform(effects)
    // What cannot be written is not waited for for ever.
    driver.run(.seconds(2), plan)
    #expect(driver.sent.contains { $0.id.key.name == "old" })
  }

  @Test func whatWasTakenIsNotSentAgainBeforeItsEcho() {
    var driver = Driver()
    driver.run(.seconds(2), [action("a")])
    #expect(driver.sent.count == 1)
    driver.run(.seconds(10), [action("a")])
    #expect((2...5).contains(driver.sent.count))
  }

  /// A server that drops a field which it does not know never shows what was wanted.
  @Test func whatNeverShowsIsSentEverMoreSeldom() {
    var driver = Driver()
    driver.run(.seconds(1200), [action("a")])
    #expect((8...16).contains(driver.sent.count), "\(driver.sent.count) in twenty minutes")
    // Once somebody changes the object, at once.
    driver.replace([action("a", version: 2)])
    let last = driver.sent.last
    #expect(last?.resourceVersion == "2")
  }

  @Test func anotherChangeIsSentAtOnce() {
    var driver = Driver()
    driver.replace([action("a", value: 1)])
    driver.replace([action("a", value: 2)])
    driver.replace([action("a", value: 2, version: 2)])
    #expect(driver.sent.count == 3)
  }

  @Test func whatIsUnacceptableWaitsForOtherContent() {
    var driver = Driver()
    driver.answer = { _ in CollectionServer.failure(422, "Invalid") }
    driver.run(.seconds(50), [action("a")])
    #expect(driver.sent.count == 1)
    driver.replace([action("a", value: 2)])
    #expect(driver.sent.count == 2)
  }

  @Test func conflictsAndErrorsBackOff() {
    for (code, reason) in [(409, "Conflict"), (403, "Forbidden"), (500, "InternalError")] {
      var driver = Driver()
      driver.answer = { _ in CollectionServer.failure(code, reason) }
      driver.run(.seconds(120), [action("a")])
      #expect((5...25).contains(driver.sent.count), "\(code): \(driver.sent.count)")
    }
  }

  @Test func throttlingHoldsEverything() {
    var driver = Driver()
    driver.answer = { _ in CollectionServer.failure(429, "TooManyRequests", retryAfter: "10") }
    driver.run(.seconds(9), (0..<50).map { action("s\($0)") })
    #expect(driver.sent.count <= ActionQueue.concurrency)
  }

  @Test func aServerThatIsAwayIsAskedSeldom() {
    var driver = Driver()
    driver.answer = { _ in nil }
    driver.run(.seconds(600), (0..<50).map { action("s\($0)") })
    #expect(driver.sent.count < 60 * ActionQueue.concurrency)
    driver.answer = { _ in APIResponse(status: 200) }
    driver.sent = []
    driver.run(.seconds(35), (0..<50).map { action("s\($0)") })
    #expect(Set(driver.sent.map(\.id)).count == 50)
  }

  @Test func aDisputeIsNoHotLoop() {
    var driver = Driver()
    // Somebody changes it back at once: every comparison finds a newer version that is not ours.
    for step in 0..<6000 {
      driver.now = driver.now + .milliseconds(100)
      driver.replace([action("a", .revert, version: step)])
    }
    #expect((10...40).contains(driver.sent.count))
  }

  @Test func deletingWhatIsGoneIsDone() {
    var driver = Driver()
    driver.answer = { _ in CollectionServer.failure(404, "NotFound") }
    driver.replace([action("a", .delete)])
    #expect(driver.compares == 0 && driver.queue.isIdle)
  }
}
