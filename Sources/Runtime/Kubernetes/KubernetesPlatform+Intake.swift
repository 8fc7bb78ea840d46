internal import Base
internal import Kubernetes
internal import Peer
internal import Synchronization
internal import Wire

extension KubernetesPlatform {
  /// Gives the peer what was handed in as objects.
  func handIn(_ objects: ClusterObjects) {
    let todo = state.withLock { state in
      let now = WallClock.now.instant
      let isRetry = now >= state.nextIntake
      if isRetry { state.nextIntake = now + Self.intakeRetry }
      return state.intake.next(objects, retry: isRetry)
    }
    for (uid, bytes) in todo {
      let (changeset, verdict) = ChangesetIntake.Verdict.read(bytes)
      guard let changeset else {
        state.withLock { $0.intake.judged(uid, verdict) }
        wake()
        continue
      }
      Task {
        let verdicts = try? await engine.submit([changeset])
        state.withLock { state in
          let unknown = ChangesetIntake.Verdict(
            .pending, reason: "Unavailable", message: "the peer cannot take changes now")
          state.intake.judged(
            uid, verdicts?.first.map { .init($0.outcome, of: changeset) } ?? unknown)
        }
        wake()
        if state.withLock({ $0.intake.isWaiting }) { wake(after: Self.intakeRetry) }
      }
    }
  }
}
