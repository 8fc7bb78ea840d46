/// Every decoder of what comes from outside; the names are those that `deploy/fuzz` takes.
func allTargets() -> [FuzzTarget] {
  [
    datagramTarget(), frameTarget(), changesetTarget(), sketchTarget(), tokenTarget(),
    manifestTarget(), dnsTarget(), tunnelTarget(), offloadTarget(), shapingTarget(),
  ]
}
