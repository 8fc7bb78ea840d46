public import Kubernetes

/// Puts `starling-cni` behind a cluster's own plugins in their configuration list, and takes it out.
public enum PluginChain {
  public static let plugin = "starling-cni"

  /// - Returns: the list with the plugin at its end; `nil`: it is there already, or this is no list.
  public static func adding(to list: JSON, agentSocket: String, stateFolder: String) -> JSON? {
    guard let plugins = list["plugins"]?.array, !plugins.isEmpty,
      !plugins.contains(where: { $0["type"]?.string == plugin })
    else { return nil }
    var out = list
    let own = JSON.object([
      "type": .string(plugin), "agentSocket": .string(agentSocket),
      "stateDir": .string(stateFolder),
    ])
    out["plugins"] = .array(plugins + [own])
    return out
  }

  /// - Returns: `nil`: it is not in there.
  public static func removing(from list: JSON) -> JSON? {
    guard let plugins = list["plugins"]?.array else { return nil }
    let others = plugins.filter { $0["type"]?.string != plugin }
    guard others.count < plugins.count else { return nil }
    var out = list
    out["plugins"] = .array(others)
    return out
  }
}
