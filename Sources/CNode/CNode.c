#define _GNU_SOURCE
#include "CNode.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define STARLING_NSFS_MAGIC 0x6e736673

int starling_node_enter(int file) { return setns(file, CLONE_NEWNET) < 0 ? -errno : 0; }

int starling_node_netlink(void) {
  int file = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (file < 0) return -errno;
  struct timeval wait = {.tv_sec = 5};
  setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  return file;
}

int starling_node_echo_socket(int family) {
  int file = family == 4 ? socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP)
                         : socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6);
  return file < 0 ? -errno : file;
}

int starling_node_keep_namespace(const char *path) {
  struct statfs kind;
  if (statfs(path, &kind) == 0 && kind.f_type == STARLING_NSFS_MAGIC) return 0;
  int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (own < 0) return -errno;
  int result = 0;
  int file = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0);
  if (file < 0) {
    result = -errno;
  } else {
    close(file);
    if (unshare(CLONE_NEWNET) < 0) {
      result = -errno;
    } else {
      if (mount("/proc/thread-self/ns/net", path, "none", MS_BIND, NULL) < 0) result = -errno;
      if (setns(own, CLONE_NEWNET) < 0 && result == 0) result = -errno;
    }
    if (result < 0) unlink(path);
  }
  close(own);
  return result;
}

int starling_node_memory(void) {
  int file = memfd_create("starling", MFD_CLOEXEC);
  return file < 0 ? -errno : file;
}
