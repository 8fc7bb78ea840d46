#pragma once

#include <stdint.h>

/// Moves the calling thread into the network namespace behind an open file: 0, or -errno.
int starling_node_enter(int file);
/// A route netlink socket in the calling thread's network namespace, or -errno.
int starling_node_netlink(void);
/// A raw socket for echo requests (family 4 or 6) in the calling thread's namespace, or -errno.
int starling_node_echo_socket(int family);
/// Makes a network namespace and keeps it under a name, as `ip netns add` does: 0, or -errno. One
/// that is there already is left as it is.
int starling_node_keep_namespace(const char *path);
/// A file without a name, in memory, or -errno.
int starling_node_memory(void);
