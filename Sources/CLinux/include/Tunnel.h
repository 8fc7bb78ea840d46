#pragma once

#include <stddef.h>
#include <stdint.h>

/* What the gateway's tunnels need of the kernel and Swift cannot import: ioctls, message headers,
   socket addresses. Functions return a value >= 0, or -errno. */

/// Opens (makes) a TUN device without packet information, non-blocking; gives its descriptor.
int starling_tun_open(const char *name);
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

/// Opens a bound, non-blocking UDP socket with large buffers.
int starling_udp_open(const struct starling_endpoint *local, int is_v6);
/// The address that a socket is bound to.
int starling_udp_local(int socket, struct starling_endpoint *local);
int starling_udp_send(int socket, const void *bytes, size_t count,
                      const struct starling_endpoint *to);

/// Datagrams that are received or sent with one call. Buffers are laid out once.
struct starling_batch;
struct starling_batch *starling_batch_create(unsigned capacity, unsigned buffer_size);
void starling_batch_destroy(struct starling_batch *batch);
uint8_t *starling_batch_buffer(const struct starling_batch *batch, unsigned index);
unsigned starling_batch_length(const struct starling_batch *batch, unsigned index);
void starling_batch_source(const struct starling_batch *batch, unsigned index,
                           struct starling_endpoint *source);
void starling_batch_set(struct starling_batch *batch, unsigned index, unsigned length,
                        const struct starling_endpoint *to);
/// Receives up to the capacity without waiting; gives the count. Truncated datagrams have length 0.
int starling_batch_receive(struct starling_batch *batch, int socket);
/// Sends datagrams from `first` on; gives how many were taken, at least one, or -errno of the first.
int starling_batch_send(struct starling_batch *batch, int socket, unsigned first, unsigned count);

/// An event that wakes a thread out of `poll`.
int starling_event_create(void);
void starling_event_signal(int event);
void starling_event_drain(int event);

/// Moves the calling thread into the network namespace that the file names.
int starling_enter_network_namespace(const char *path);
/// Monotonic time in nanoseconds.
int64_t starling_monotonic(void);
/// Milliseconds since 1970.
uint64_t starling_wall_milliseconds(void);
void starling_name_thread(const char *name);
