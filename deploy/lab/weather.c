/* weather relay PORT A_ADDRESS A_PORT B_ADDRESS B_PORT LOSS TWICE LATE SEED
     Passes datagrams between A and B and treats them as a bad path does: so many in a thousand are
     lost, come twice, come late behind up to 32 others. Ends on a signal.
   weather noise ADDRESS PORT COUNT SAMPLES SEED
     Sends random datagrams and samples that were changed, cut or extended. SAMPLES is a file: two
     bytes of length (big-endian), then the datagram, again and again. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { largest = 2048, batch = 32, held = 32 };

/* xorshift64* (Vigna, 2016): fast, and the same for a seed everywhere. */
static uint64_t state;
static uint64_t draw(uint64_t below) {
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return (state * 0x2545f4914f6cdd1dull >> 16) % below;
}

static struct sockaddr_in place(const char *address, const char *port) {
  struct sockaddr_in value = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  inet_pton(AF_INET, address, &value.sin_addr);
  return value;
}

static int open_socket(const char *address, const char *port) {
  int file = socket(AF_INET, SOCK_DGRAM, 0), room = 32 << 20;
  setsockopt(file, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  setsockopt(file, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
  struct sockaddr_in local = place(address, port);
  return bind(file, (struct sockaddr *)&local, sizeof local) < 0 ? -1 : file;
}

struct message {
  struct sockaddr_in to;
  size_t size;
  char bytes[largest];
};

static int relay(char **words) {
  struct sockaddr_in ends[2] = {place(words[3], words[4]), place(words[5], words[6])};
  uint64_t loss = strtoull(words[7], NULL, 10), twice = strtoull(words[8], NULL, 10);
  uint64_t late = strtoull(words[9], NULL, 10);
  state = strtoull(words[10], NULL, 10) * 2 + 1;
  int file = open_socket("0.0.0.0", words[2]);
  if (file < 0) return 1;
  static struct message incoming[batch], waiting[held];
  static int due[held];
  struct mmsghdr headers[batch];
  struct iovec vectors[batch];
  struct sockaddr_in sources[batch];
  for (;;) {
    memset(headers, 0, sizeof headers);
    for (int i = 0; i < batch; i++) {
      vectors[i] = (struct iovec){incoming[i].bytes, largest};
      headers[i].msg_hdr =
          (struct msghdr){.msg_name = &sources[i], .msg_namelen = sizeof sources[i],
                          .msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(file, headers, batch, MSG_WAITFORONE, NULL);
    for (int i = 0; i < count; i++) {
      struct message *message = &incoming[i];
      int from_a = sources[i].sin_addr.s_addr == ends[0].sin_addr.s_addr &&
                   sources[i].sin_port == ends[0].sin_port;
      message->to = ends[from_a];
      message->size = headers[i].msg_len;
      int slot = (int)draw(held);
      if (draw(1000) < loss) continue;
      if (draw(1000) < late && !due[slot]) {
        waiting[slot] = *message;
        due[slot] = 1 + (int)draw(held);
        continue;
      }
      int times = draw(1000) < twice ? 2 : 1;
      while (times-- > 0)
        sendto(file, message->bytes, message->size, 0, (struct sockaddr *)&message->to,
               sizeof message->to);
      for (slot = 0; slot < held; slot++)
        if (due[slot] && --due[slot] == 0)
          sendto(file, waiting[slot].bytes, waiting[slot].size, 0,
                 (struct sockaddr *)&waiting[slot].to, sizeof waiting[slot].to);
    }
  }
}

static int noise(char **words) {
  static unsigned char samples[16 << 20];
  static size_t starts[65536], sizes[65536];
  size_t known = 0;
  FILE *input = fopen(words[5], "rb");
  size_t total = input ? fread(samples, 1, sizeof samples, input) : 0;
  for (size_t at = 0; at + 2 < total && known < 65536;) {
    size_t size = (size_t)samples[at] << 8 | samples[at + 1];
    if (size == 0 || size > largest || at + 2 + size > total) break;
    starts[known] = at + 2;
    sizes[known++] = size;
    at += 2 + size;
  }
  state = strtoull(words[6], NULL, 10) * 2 + 1;
  int file = open_socket("0.0.0.0", "0");
  struct sockaddr_in to = place(words[2], words[3]);
  if (file < 0 || connect(file, (struct sockaddr *)&to, sizeof to) < 0) return 1;
  static struct message out[batch];
  struct mmsghdr headers[batch];
  struct iovec vectors[batch];
  long left = atol(words[4]), sent = 0;
  while (left > 0) {
    memset(headers, 0, sizeof headers);
    for (int i = 0; i < batch; i++) {
      struct message *message = &out[i];
      unsigned char *bytes = (unsigned char *)message->bytes;
      if (known == 0 || draw(3) == 0) {
        message->size = 1 + draw(1460);
        for (size_t at = 0; at < message->size; at++) bytes[at] = (unsigned char)draw(256);
        /* Mostly of a known kind and version, or it gets nowhere. */
        if (draw(4)) bytes[0] = (unsigned char)((1 + draw(3)) << 4 | 1);
      } else {
        size_t pick = draw(known);
        message->size = sizes[pick];
        memcpy(bytes, samples + starts[pick], message->size);
        for (uint64_t change = draw(4); change > 0; change--)
          bytes[draw(message->size)] ^= (unsigned char)(1 << draw(8));
        if (draw(4) == 0) message->size = 1 + draw(message->size);
        if (draw(8) == 0 && message->size < 1400) message->size += draw(60);
      }
      vectors[i] = (struct iovec){bytes, message->size};
      headers[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    int count = sendmmsg(file, headers, left < batch ? (unsigned)left : batch, 0);
    if (count <= 0) continue;
    sent += count;
    left -= count;
  }
  printf("%ld\n", sent);
  return 0;
}

int main(int count, char **words) {
  if (count == 11 && !strcmp(words[1], "relay")) return relay(words);
  if (count == 7 && !strcmp(words[1], "noise")) return noise(words);
  return 64;
}
