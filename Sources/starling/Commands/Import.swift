import ArgumentParser
import Runtime

struct Import: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Turn what another system was told into manifests.", subcommands: [KubeSlice.self])

  struct KubeSlice: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "kubeslice",
      abstract: "Turn KubeSlice's SliceConfigs, QoS profiles and exports into manifests.",
      discussion: """
        Manifests go to standard output, and to standard error what is different here and what has no \
        counterpart. Nothing is sent. With --exports it is the ServiceExports for the clusters instead, \
        to be applied there with kubectl.

        Example:
          kubectl get sliceconfigs,sliceqosconfigs -A -o yaml > kubeslice.yaml
          starling import kubeslice -f kubeslice.yaml | starling apply -f -
        """)

    @OptionGroup var manifest: ManifestOption

    @Flag(help: "Write the ServiceExports, not the slices.")
    var exports = false

    @Flag(help: "Fail (status 1) where anything was refused.")
    var strict = false

    @Option(help: ArgumentHelp("Of the ServiceExports, only this cluster's.", valueName: "cluster"))
    var cluster: String?

    @OptionGroup var common: CommonOptions

    func run() async throws {
      try common.session().importKubeSlice(
        manifest.files, exports: exports, cluster: cluster, isStrict: strict)
    }
  }
}
