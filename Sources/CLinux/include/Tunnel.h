#pragma once

#include <stddef.h>
#include <stdint.h>

/* What the gateway's tunnels need of the kernel and Swift cannot import: ioctls, message headers,
   socket addresses. Functions return a value >= 0, or -errno. */

/// Opens (makes) a TUN device without packet information but with virtio headers, non-blocking, that
/// leaves checksums and the cutting of TCP to us, and of UDP where `cuts_udp` says so; gives its
/// descriptor. `shared`: several processes may open it; the kernel spreads flows over them, and those
/// of one that ends go to the others.
int starling_tun_open(const char *name, int shared, int *cuts_udp);
/// Takes part in a shared device, or lets the others have its packets.
int starling_tun_attach(int device, int attached);
/// The MTU of an interface.
int starling_link_mtu(const char *name);
/// Sets the MTU and brings the interface up.
int starling_link_up(const char *name, int mtu);
/// Assigns an address of 4 or 16 bytes to an interface.
int starling_link_add_address(const char *name, const uint8_t *address, size_t size,
                              int prefix_length);

/// A socket address in the form of the socket that it is used with.
struct starling_endpoint {
  uint32_t length;
  uint8_t raw[28];
};

/// `address` has 4 or 16 bytes. For a socket of IPv6, IPv4 is given in its mapped form.
struct starling_endpoint starling_endpoint_make(const uint8_t *address, size_t size, uint16_t port,
                                                int socket_is_v6);
/// Writes 4 or 16 bytes (mapped IPv4 as 4) and the port; gives the number of bytes, 0 for none.
size_t starling_endpoint_read(const struct starling_endpoint *endpoint, uint8_t *address,
                              uint16_t *port);

/// Whether two addresses of one socket have the same host and port.
int starling_endpoint_equal(const struct starling_endpoint *a, const struct starling_endpoint *b);

/// Opens a bound, non-blocking UDP socket with large buffers.
int starling_udp_open(const struct starling_endpoint *local, int is_v6);
/// The address that a socket is bound to.
int starling_udp_local(int socket, struct starling_endpoint *local);
/// The local address (not the port) that datagrams to `remote` leave from.
int starling_udp_source(const struct starling_endpoint *remote, int is_v6,
                        struct starling_endpoint *local);
int starling_udp_send(int socket, const void *bytes, size_t count,
                      const struct starling_endpoint *to);

/// Receives many datagrams with one call. Each message is one datagram, or several of one size and
/// source that the kernel joined (UDP_GRO). Buffers are laid out once.
struct starling_receiver;
struct starling_receiver *starling_receiver_create(unsigned capacity);
void starling_receiver_destroy(struct starling_receiver *receiver);
/// Receives up to `count` messages without waiting; gives how many.
int starling_receiver_receive(struct starling_receiver *receiver, int socket, unsigned count);
/// A message: its bytes, their count (0 where it was cut off), and the size of each datagram in it
/// but the last, which may be shorter; and the traffic class octet (DSCP and ECN) of all of them.
uint8_t *starling_receiver_message(const struct starling_receiver *receiver, unsigned index,
                                   unsigned *length, unsigned *segment, uint8_t *traffic_class);
void starling_receiver_source(const struct starling_receiver *receiver, unsigned index,
                              struct starling_endpoint *source);

/// Sends many messages with one call; each is one datagram, or several of one size that the kernel
/// (or the device) cuts (UDP_SEGMENT).
struct starling_sender;
struct starling_sender *starling_sender_create(unsigned capacity);
void starling_sender_destroy(struct starling_sender *sender);
/// `segment` 0: one datagram. `traffic_class` 0: the socket's own. The bytes stay the caller's, the
/// endpoint is copied.
void starling_sender_set(struct starling_sender *sender, unsigned index, void *bytes,
                         unsigned length, unsigned segment, uint8_t traffic_class,
                         const struct starling_endpoint *to);
/// Sends messages from `first` on; gives how many were taken, at least one, or -errno of the first.
int starling_sender_send(struct starling_sender *sender, int socket, unsigned first,
                         unsigned count);

/// A plain UDP socket that does not block, or -errno. One of IPv6 carries IPv4 as well.
int starling_datagram_open(const struct starling_endpoint *local);
/// Another descriptor of the same socket, or -errno.
int starling_datagram_share(int socket);
void starling_datagram_close(int socket);
/// One datagram to a `sockaddr`: 0, or -errno. Never waits.
int starling_datagram_send(int socket, const void *bytes, size_t count, const void *address,
                           size_t address_size);

/// An event that wakes a thread out of `poll`.
int starling_event_create(void);
void starling_event_signal(int event);
void starling_event_drain(int event);

/// `poll` with a bound in nanoseconds.
struct pollfd;
int starling_poll(struct pollfd *waits, size_t count, int64_t nanoseconds);

/// Moves the calling thread into the network namespace that the file names.
int starling_enter_network_namespace(const char *path);
/// Monotonic time in nanoseconds.
int64_t starling_monotonic(void);
/// Milliseconds since 1970.
uint64_t starling_wall_milliseconds(void);
void starling_name_thread(const char *name);
