#define _GNU_SOURCE
#include "Tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The largest datagram, and the largest message of joined ones. */
enum { message_bytes = 65536 };
/* Messages start in different sets of the caches. */
enum { message_stride = message_bytes + 7 * 64 };

/* The size of joined datagrams, and the traffic class octet. */
union receive_control {
  struct cmsghdr header;
  char bytes[2 * CMSG_SPACE(sizeof(int))];
};

struct starling_receiver {
  unsigned capacity;
  uint8_t *buffers;
  struct mmsghdr *headers;
  struct iovec *vectors;
  struct starling_endpoint *sources;
  union receive_control *controls;
};

struct starling_receiver *starling_receiver_create(unsigned capacity) {
  struct starling_receiver *receiver = calloc(1, sizeof *receiver);
  if (!receiver) return NULL;
  receiver->capacity = capacity;
  /* Pages that no datagram reaches are never there. */
  receiver->buffers = aligned_alloc(64, (size_t)capacity * message_stride);
  receiver->headers = calloc(capacity, sizeof *receiver->headers);
  receiver->vectors = calloc(capacity, sizeof *receiver->vectors);
  receiver->sources = calloc(capacity, sizeof *receiver->sources);
  receiver->controls = calloc(capacity, sizeof *receiver->controls);
  if (!receiver->buffers || !receiver->headers || !receiver->vectors || !receiver->sources ||
      !receiver->controls) {
    starling_receiver_destroy(receiver);
    return NULL;
  }
  for (unsigned i = 0; i < capacity; i++) {
    struct msghdr *header = &receiver->headers[i].msg_hdr;
    receiver->vectors[i].iov_base = receiver->buffers + (size_t)i * message_stride;
    receiver->vectors[i].iov_len = message_bytes;
    header->msg_iov = &receiver->vectors[i];
    header->msg_iovlen = 1;
    header->msg_name = receiver->sources[i].raw;
    header->msg_control = &receiver->controls[i];
  }
  return receiver;
}

void starling_receiver_destroy(struct starling_receiver *receiver) {
  if (!receiver) return;
  free(receiver->buffers);
  free(receiver->headers);
  free(receiver->vectors);
  free(receiver->sources);
  free(receiver->controls);
  free(receiver);
}

int starling_receiver_receive(struct starling_receiver *receiver, int socket, unsigned count) {
  if (count > receiver->capacity) count = receiver->capacity;
  for (unsigned i = 0; i < count; i++) {
    struct msghdr *header = &receiver->headers[i].msg_hdr;
    header->msg_namelen = sizeof receiver->sources[i].raw;
    header->msg_controllen = sizeof receiver->controls[i];
  }
  int received = recvmmsg(socket, receiver->headers, count, MSG_DONTWAIT, NULL);
  return received < 0 ? -errno : received;
}

uint8_t *starling_receiver_message(const struct starling_receiver *receiver, unsigned index,
                                   unsigned *length, unsigned *segment,
                                   uint8_t *traffic_class) {
  struct msghdr *header = &receiver->headers[index].msg_hdr;
  *length = header->msg_flags & MSG_TRUNC ? 0 : receiver->headers[index].msg_len;
  *segment = *length;
  *traffic_class = 0;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
    int value;
    if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_TOS) {
      memcpy(traffic_class, CMSG_DATA(part), 1);
      continue;
    }
    memcpy(&value, CMSG_DATA(part), sizeof value);
    if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_TCLASS)
      *traffic_class = (uint8_t)value;
    else if (part->cmsg_level == IPPROTO_UDP && part->cmsg_type == UDP_GRO && value > 0)
      *segment = (unsigned)value;
  }
  return receiver->vectors[index].iov_base;
}

void starling_receiver_source(const struct starling_receiver *receiver, unsigned index,
                              struct starling_endpoint *source) {
  *source = receiver->sources[index];
  source->length = receiver->headers[index].msg_hdr.msg_namelen;
}

/* The size to cut at, and the traffic class octet. */
union send_control {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(int))];
};

struct starling_sender {
  struct mmsghdr *headers;
  struct iovec *vectors;
  struct starling_endpoint *targets;
  union send_control *controls;
};

struct starling_sender *starling_sender_create(unsigned capacity) {
  struct starling_sender *sender = calloc(1, sizeof *sender);
  if (!sender) return NULL;
  sender->headers = calloc(capacity, sizeof *sender->headers);
  sender->vectors = calloc(capacity, sizeof *sender->vectors);
  sender->targets = calloc(capacity, sizeof *sender->targets);
  sender->controls = calloc(capacity, sizeof *sender->controls);
  if (!sender->headers || !sender->vectors || !sender->targets || !sender->controls) {
    starling_sender_destroy(sender);
    return NULL;
  }
  for (unsigned i = 0; i < capacity; i++) {
    struct msghdr *header = &sender->headers[i].msg_hdr;
    header->msg_iov = &sender->vectors[i];
    header->msg_iovlen = 1;
    header->msg_name = sender->targets[i].raw;
  }
  return sender;
}

void starling_sender_destroy(struct starling_sender *sender) {
  if (!sender) return;
  free(sender->headers);
  free(sender->vectors);
  free(sender->targets);
  free(sender->controls);
  free(sender);
}

/* Puts a message at `offset` of the control bytes; gives the offset behind it. */
static size_t put_control(union send_control *control, size_t offset, int level, int type,
                          const void *value, size_t size) {
  struct cmsghdr *part = (struct cmsghdr *)(control->bytes + offset);
  part->cmsg_level = level;
  part->cmsg_type = type;
  part->cmsg_len = CMSG_LEN(size);
  memcpy(CMSG_DATA(part), value, size);
  return offset + CMSG_SPACE(size);
}

/* IPv4, also where it is mapped into a socket of IPv6. */
static int is_v4(const struct starling_endpoint *endpoint) {
  static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
  return endpoint->length == sizeof(struct sockaddr_in) ||
         !memcmp(endpoint->raw + offsetof(struct sockaddr_in6, sin6_addr), mapped, sizeof mapped);
}

void starling_sender_set(struct starling_sender *sender, unsigned index, void *bytes,
                         unsigned length, unsigned segment, uint8_t traffic_class,
                         const struct starling_endpoint *to) {
  struct msghdr *header = &sender->headers[index].msg_hdr;
  union send_control *control = &sender->controls[index];
  uint16_t size = (uint16_t)segment;
  int octet = traffic_class;
  size_t used = 0;
  sender->vectors[index].iov_base = bytes;
  sender->vectors[index].iov_len = length;
  sender->targets[index] = *to;
  header->msg_namelen = to->length;
  if (segment) used = put_control(control, used, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size);
  if (octet && is_v4(to))
    used = put_control(control, used, IPPROTO_IP, IP_TOS, &octet, sizeof octet);
  else if (octet)
    used = put_control(control, used, IPPROTO_IPV6, IPV6_TCLASS, &octet, sizeof octet);
  header->msg_control = used ? control : NULL;
  header->msg_controllen = used;
}

int starling_sender_send(struct starling_sender *sender, int socket, unsigned first,
                         unsigned count) {
  int sent = sendmmsg(socket, sender->headers + first, count, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent < 0 ? -errno : sent;
}

int starling_datagram_open(const struct starling_endpoint *local) {
  int is_v6 = local->length == sizeof(struct sockaddr_in6);
  int file = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (file < 0) return -errno;
  int off = 0;
  if (is_v6) setsockopt(file, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(file, (const struct sockaddr *)local->raw, local->length) < 0) {
    int result = -errno;
    close(file);
    return result;
  }
  return file;
}

int starling_datagram_share(int socket) {
  int file = fcntl(socket, F_DUPFD_CLOEXEC, 0);
  return file < 0 ? -errno : file;
}

void starling_datagram_close(int socket) { close(socket); }

int starling_datagram_send(int socket, const void *bytes, size_t count, const void *address,
                           size_t address_size) {
  ssize_t sent = sendto(socket, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL,
                        (const struct sockaddr *)address, (socklen_t)address_size);
  return sent < 0 ? -errno : 0;
}
