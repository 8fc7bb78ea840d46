internal import Base
internal import Membership
internal import Peer
internal import Replication
internal import Wire

/// What a peer counts. Names are `starling_<area>_<what>`.
final class PeerMetrics: Sendable {
  let registry: MetricsRegistry
  private let sentDatagrams: Counter
  private let sentDatagramBytes: Counter
  private let lostDatagrams: Counter
  private let streamedMessages: Counter
  private let sentFrameBytes: Counter
  private let storedChangesets: Counter
  private let storeSeconds: Histogram
  private let forwarded: Counter
  private let duplicates: Counter

  init(_ registry: MetricsRegistry) {
    self.registry = registry
    sentDatagrams = registry.counter(
      "starling_gossip_sent_datagrams_total", help: "Sealed datagrams sent to peers.")
    sentDatagramBytes = registry.counter(
      "starling_gossip_sent_datagram_bytes_total", help: "Bytes of sealed datagrams sent.")
    lostDatagrams = registry.counter(
      "starling_gossip_unsent_datagrams_total",
      help: "Sealed datagrams that this machine did not send: no route, a firewall, full buffers.")
    streamedMessages = registry.counter(
      "starling_gossip_streamed_messages_total",
      help: "Messages sent over a stream as well, since no datagram of the peer arrives.")
    sentFrameBytes = registry.counter(
      "starling_gossip_sent_frame_bytes_total", help: "Bytes of frames sent over streams.")
    storedChangesets = registry.counter(
      "starling_state_stored_changesets_total", help: "Changesets made durable.")
    storeSeconds = registry.histogram(
      "starling_state_store_seconds", help: "From taking a changeset to its being durable.")
    forwarded = registry.counter(
      "starling_gossip_forwarded_copies_total", help: "Copies of changesets sent on.")
    duplicates = registry.counter(
      "starling_gossip_duplicates_total", help: "Changesets pushed here though they were known.")
  }

  func sent(datagrams: [OutgoingDatagram]) {
    sentDatagrams.increment(by: UInt64(datagrams.count))
    sentDatagramBytes.increment(by: UInt64(datagrams.reduce(0) { $0 + $1.bytes.count }))
  }

  func lostDatagram() { lostDatagrams.increment() }

  func streamed(_ messages: Int) { streamedMessages.increment(by: UInt64(messages)) }

  func sent(frameBytes: Int) {
    sentFrameBytes.increment(by: UInt64(frameBytes))
  }

  func stored(_ count: Int, took duration: Duration) {
    storedChangesets.increment(by: UInt64(count))
    storeSeconds.record(duration)
  }

  func droppedDatagram(_ reason: SealedDrop) {
    registry.counter(
      "starling_gossip_dropped_datagrams_total", help: "Datagrams refused before anything else.",
      labels: ["reason": reason.label]
    ).increment()
  }

  func malformed(_ what: String) {
    registry.counter(
      "starling_gossip_malformed_total", help: "Authentic input that does not keep to the format.",
      labels: ["what": what]
    ).increment()
  }

  func refusedStream(_ refusal: StreamRefusal) {
    registry.counter(
      "starling_stream_refused_total", help: "Connections that came to nothing or were ended.",
      labels: ["reason": refusal.label]
    ).increment()
  }

  func count(_ event: PeerEvent) {
    switch event {
    case .refused(_, _, _, let outcome):
      rejectedChangeset(outcome)
    case .sync(.forwarded(_, let copies)):
      forwarded.increment(by: UInt64(copies))
    case .sync(.duplicate):
      duplicates.increment()
    case .sync(.sessionEnded(let report)):
      registry.counter(
        "starling_sync_sessions_total", help: "Sessions of anti-entropy that ended.",
        labels: ["kind": report.kind.rawValue, "outcome": report.outcome.rawValue]
      ).increment()
    case .sync(.refused):
      registry.counter(
        "starling_sync_refused_total", help: "Messages of anti-entropy against a bound."
      ).increment()
    case .membership(.rejected(_, let reason)):
      registry.counter(
        "starling_membership_rejected_total", help: "Evidence or messages that changed nothing.",
        labels: ["reason": "\(reason)"]
      ).increment()
    case .membership(.state(_, _, let state)):
      registry.counter(
        "starling_membership_transitions_total", help: "Members that entered a state.",
        labels: ["state": "\(state)"]
      ).increment()
    case .alarm(let alarm):
      registry.counter(
        "starling_state_alarms_total", help: "Alarms about trust.", labels: ["kind": alarm.kind]
      ).increment()
    default: break
    }
  }

  private func rejectedChangeset(_ outcome: IngestOutcome) {
    registry.counter(
      "starling_state_rejected_changesets_total",
      help: "Changesets that were refused, wait, or do not count.",
      labels: ["outcome": outcome.label]
    ).increment()
  }
}

extension IngestOutcome {
  /// For metric labels.
  var label: String {
    switch self {
    case .accepted: "accepted"
    case .notCounting: "notCounting"
    case .pending: "pending"
    case .held: "held"
    case .duplicate: "duplicate"
    case .superseded: "superseded"
    case .refused(let why):
      switch why {
      case .malformed: "malformed"
      case .unsupportedFormat: "unsupportedFormat"
      case .otherClusterSet: "otherClusterSet"
      case .badSignature: "badSignature"
      case .tooFewSignatures: "tooFewSignatures"
      case .unauthorised: "unauthorised"
      case .scopeNotHeld: "scopeNotHeld"
      case .overQuota: "overQuota"
      }
    }
  }
}

extension StateAlarm {
  var kind: String {
    switch self {
    case .rivalEnrolments: "rivalEnrolments"
    case .rivalRoots: "rivalRoots"
    case .overQuota: "overQuota"
    }
  }
}
