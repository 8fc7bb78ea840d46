#define _GNU_SOURCE
#include "Tunnel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* <linux/ipv6.h> clashes with <netinet/in.h>; this is its struct in6_ifreq. */
struct starling_in6_ifreq {
  struct in6_addr address;
  uint32_t prefix_length;
  int index;
};

static int copy_name(char *to, const char *name) {
  size_t length = strlen(name);
  if (length == 0 || length >= IFNAMSIZ) return -EINVAL;
  memcpy(to, name, length + 1);
  return 0;
}

/* Newer than many systems' headers: UDP datagrams of one size in one packet (Linux 6.2). */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

int starling_tun_open(const char *name, int shared, int *cuts_udp) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  int result = copy_name(request.ifr_name, name);
  if (result < 0) return result;
  int file = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return -errno;
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | (shared ? IFF_MULTI_QUEUE : 0);
  unsigned long tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  if (ioctl(file, TUNSETIFF, &request) < 0) {
    result = -errno;
    close(file);
    return result;
  }
  *cuts_udp = ioctl(file, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) == 0;
  if (!*cuts_udp && ioctl(file, TUNSETOFFLOAD, tcp) < 0) {
    result = -errno;
    close(file);
    return result;
  }
  return file;
}

int starling_tun_attach(int device, int attached) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  request.ifr_flags = attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
  return ioctl(device, TUNSETQUEUE, &request) < 0 ? -errno : 0;
}

/* An ioctl on an interface through a throw-away socket. */
static int interface_ioctl(int family, unsigned long request, void *argument) {
  int control = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (control < 0) return -errno;
  int result = ioctl(control, request, argument) < 0 ? -errno : 0;
  close(control);
  return result;
}

/* The kernel would give the device an IPv6 address and send router solicitations into the tunnel. */
static void disable_address_generation(const char *name) {
  char path[128] = "/proc/sys/net/ipv6/conf/";
  strcat(path, name);
  strcat(path, "/addr_gen_mode");
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  ssize_t ignored = write(file, "1", 1);
  (void)ignored;
  close(file);
}

int starling_link_up(const char *name, int mtu) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  int result = copy_name(request.ifr_name, name);
  if (result < 0) return result;
  disable_address_generation(name);
  request.ifr_mtu = mtu;
  if ((result = interface_ioctl(AF_INET, SIOCSIFMTU, &request)) < 0) return result;
  if ((result = interface_ioctl(AF_INET, SIOCGIFFLAGS, &request)) < 0) return result;
  request.ifr_flags |= IFF_UP | IFF_RUNNING;
  return interface_ioctl(AF_INET, SIOCSIFFLAGS, &request);
}

int starling_link_mtu(const char *name) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  int result = copy_name(request.ifr_name, name);
  if (result < 0) return result;
  result = interface_ioctl(AF_INET, SIOCGIFMTU, &request);
  return result < 0 ? result : request.ifr_mtu;
}

static int add_v4(const char *name, const uint8_t *address, int prefix_length) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  int result = copy_name(request.ifr_name, name);
  if (result < 0) return result;
  struct sockaddr_in value = {.sin_family = AF_INET};
  memcpy(&value.sin_addr, address, 4);
  memcpy(&request.ifr_addr, &value, sizeof value);
  if ((result = interface_ioctl(AF_INET, SIOCSIFADDR, &request)) < 0) return result;
  uint32_t mask = prefix_length == 0 ? 0 : ~(uint32_t)0 << (32 - prefix_length);
  value.sin_addr.s_addr = htonl(mask);
  memcpy(&request.ifr_netmask, &value, sizeof value);
  return interface_ioctl(AF_INET, SIOCSIFNETMASK, &request);
}

static int add_v6(const char *name, const uint8_t *address, int prefix_length) {
  struct starling_in6_ifreq request;
  memset(&request, 0, sizeof request);
  memcpy(&request.address, address, 16);
  request.prefix_length = (uint32_t)prefix_length;
  request.index = (int)if_nametoindex(name);
  if (request.index == 0) return -ENODEV;
  int result = interface_ioctl(AF_INET6, SIOCSIFADDR, &request);
  return result == -EEXIST ? 0 : result;
}

int starling_link_add_address(const char *name, const uint8_t *address, size_t size,
                              int prefix_length) {
  if (prefix_length < 0 || prefix_length > (int)size * 8) return -EINVAL;
  if (size == 4) return add_v4(name, address, prefix_length);
  if (size == 16) return add_v6(name, address, prefix_length);
  return -EINVAL;
}

struct starling_endpoint starling_endpoint_make(const uint8_t *address, size_t size, uint16_t port,
                                                int socket_is_v6) {
  struct starling_endpoint endpoint;
  memset(&endpoint, 0, sizeof endpoint);
  if (size == 4 && !socket_is_v6) {
    struct sockaddr_in value = {.sin_family = AF_INET, .sin_port = htons(port)};
    memcpy(&value.sin_addr, address, 4);
    memcpy(endpoint.raw, &value, sizeof value);
    endpoint.length = sizeof value;
  } else {
    struct sockaddr_in6 value = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (size == 4) {
      value.sin6_addr.s6_addr[10] = 0xff;
      value.sin6_addr.s6_addr[11] = 0xff;
      memcpy(&value.sin6_addr.s6_addr[12], address, 4);
    } else {
      memcpy(&value.sin6_addr, address, 16);
    }
    memcpy(endpoint.raw, &value, sizeof value);
    endpoint.length = sizeof value;
  }
  return endpoint;
}

int starling_endpoint_equal(const struct starling_endpoint *a, const struct starling_endpoint *b) {
  if (a->length != b->length) return 0;
  if (a->length == sizeof(struct sockaddr_in)) {
    struct sockaddr_in x, y;
    memcpy(&x, a->raw, sizeof x);
    memcpy(&y, b->raw, sizeof y);
    return x.sin_port == y.sin_port && x.sin_addr.s_addr == y.sin_addr.s_addr;
  }
  if (a->length != sizeof(struct sockaddr_in6)) return 0;
  struct sockaddr_in6 x, y;
  memcpy(&x, a->raw, sizeof x);
  memcpy(&y, b->raw, sizeof y);
  return x.sin6_port == y.sin6_port && !memcmp(&x.sin6_addr, &y.sin6_addr, sizeof x.sin6_addr);
}

size_t starling_endpoint_read(const struct starling_endpoint *endpoint, uint8_t *address,
                              uint16_t *port) {
  if (endpoint->length == sizeof(struct sockaddr_in)) {
    struct sockaddr_in value;
    memcpy(&value, endpoint->raw, sizeof value);
    memcpy(address, &value.sin_addr, 4);
    *port = ntohs(value.sin_port);
    return 4;
  }
  if (endpoint->length != sizeof(struct sockaddr_in6)) return 0;
  struct sockaddr_in6 value;
  memcpy(&value, endpoint->raw, sizeof value);
  *port = ntohs(value.sin6_port);
  if (IN6_IS_ADDR_V4MAPPED(&value.sin6_addr)) {
    memcpy(address, &value.sin6_addr.s6_addr[12], 4);
    return 4;
  }
  memcpy(address, &value.sin6_addr, 16);
  return 16;
}

int starling_udp_open(const struct starling_endpoint *local, int is_v6) {
  int file = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (file < 0) return -errno;
  int off = 0, size = 8 << 20;
  if (is_v6) setsockopt(file, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  /* The forced form needs CAP_NET_ADMIN; without it the system's bound holds. */
  if (setsockopt(file, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
    setsockopt(file, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  if (setsockopt(file, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
    setsockopt(file, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  /* Never fragmented, whatever the kernel believes of the path: its size is found with probes. */
  int probe = IP_PMTUDISC_PROBE, probe6 = IPV6_PMTUDISC_PROBE;
  setsockopt(file, IPPROTO_IP, IP_MTU_DISCOVER, &probe, sizeof probe);
  if (is_v6) setsockopt(file, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &probe6, sizeof probe6);
  /* Joined datagrams; without it they come one by one. */
  int on = 1;
  setsockopt(file, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
  /* What the path marks as congested. */
  setsockopt(file, IPPROTO_IP, IP_RECVTOS, &on, sizeof on);
  if (is_v6) setsockopt(file, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof on);
  if (bind(file, (const struct sockaddr *)local->raw, local->length) < 0) {
    int result = -errno;
    close(file);
    return result;
  }
  return file;
}

int starling_udp_local(int socket, struct starling_endpoint *local) {
  memset(local, 0, sizeof *local);
  struct sockaddr_storage value;
  socklen_t length = sizeof value;
  if (getsockname(socket, (struct sockaddr *)&value, &length) < 0) return -errno;
  if (length > sizeof local->raw) return -EINVAL;
  memcpy(local->raw, &value, length);
  local->length = length;
  return 0;
}

int starling_udp_source(const struct starling_endpoint *remote, int is_v6,
                        struct starling_endpoint *local) {
  int file = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (file < 0) return -errno;
  int off = 0;
  if (is_v6) setsockopt(file, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  /* Sends nothing: it only looks up the route. */
  int result = connect(file, (const struct sockaddr *)remote->raw, remote->length) < 0 ? -errno : 0;
  if (result >= 0) result = starling_udp_local(file, local);
  close(file);
  return result;
}

int starling_udp_send(int socket, const void *bytes, size_t count,
                      const struct starling_endpoint *to) {
  ssize_t sent = sendto(socket, bytes, count, MSG_NOSIGNAL, (const struct sockaddr *)to->raw,
                        to->length);
  return sent < 0 ? -errno : (int)sent;
}

int starling_event_create(void) {
  int file = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return file < 0 ? -errno : file;
}

void starling_event_signal(int event) {
  uint64_t one = 1;
  ssize_t ignored = write(event, &one, sizeof one);
  (void)ignored;
}

void starling_event_drain(int event) {
  uint64_t count;
  ssize_t ignored = read(event, &count, sizeof count);
  (void)ignored;
}

int starling_poll(struct pollfd *waits, size_t count, int64_t nanoseconds) {
  struct timespec time = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
  int ready = ppoll(waits, count, &time, NULL);
  return ready < 0 ? -errno : ready;
}

int starling_enter_network_namespace(const char *path) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -errno;
  int result = setns(file, CLONE_NEWNET) < 0 ? -errno : 0;
  close(file);
  return result;
}

int64_t starling_monotonic(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

void starling_name_thread(const char *name) {
  pthread_setname_np(pthread_self(), name);
}

uint64_t starling_wall_milliseconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}
