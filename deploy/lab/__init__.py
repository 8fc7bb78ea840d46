"""Clusters on one machine: network namespaces, real starlingd processes, real packets.

What the demo, the benchmarks and the end-to-end tests stand on. Needs nothing but Python's standard
library, iproute2 and nftables."""
