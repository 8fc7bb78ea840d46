internal import Base
internal import Kubernetes
internal import Logging

/// Follows a few Secrets of one namespace one by one, so that nobody has to be let read the others.
actor SecretWatches {
  private let watches: [ClusterWatch]
  private let configurations: [WatchConfiguration]

  init(
    _ transport: APITransport, namespace: String, names: [String], logger: Logger,
    changed: @escaping @Sendable (ResourceType, [ObjectKey]) -> Void
  ) {
    watches = names.map { _ in ClusterWatch(transport, logger: logger, changed: changed) }
    configurations = names.map {
      var configuration = GatewayFeed.watched($0, in: namespace)
      // What is written is compared with the whole.
      configuration.keeps = []
      return configuration
    }
  }

  func start() async {
    for (watch, configuration) in zip(watches, configurations) {
      await watch.start([configuration])
    }
  }

  func stop() async {
    for watch in watches { await watch.stop() }
  }

  /// Nothing is added before all were listed; they count as not served where one may not be read.
  func add(to objects: inout ClusterObjects?) async {
    var store = ObjectStore()
    var isServed = !watches.isEmpty
    for watch in watches {
      guard let found = await watch.objects else { return }
      if !found.isServed(.secrets) { isServed = false }
      for object in found.all(.secrets) { _ = store.put(object, bytes: 0) }
    }
    objects?[.secrets] = store
    objects?.setServed(.secrets, isServed)
  }
}
