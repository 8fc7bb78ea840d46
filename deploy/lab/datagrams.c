/* datagrams send ADDRESS PORT SIZE SECONDS | datagrams receive PORT SECONDS
   Sends small UDP datagrams as fast as the kernel takes them, or counts those that come. Prints the
   number. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { batch = 32, largest = 2048 };

static double seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int count, char **words) {
  static char buffers[batch][largest];
  struct iovec vectors[batch];
  struct mmsghdr messages[batch];
  memset(messages, 0, sizeof messages);
  int sends = count == 6 && !strcmp(words[1], "send");
  if (!sends && !(count == 4 && !strcmp(words[1], "receive"))) return 64;
  size_t size = sends ? strtoul(words[4], NULL, 10) : largest;
  for (int i = 0; i < batch; i++) {
    vectors[i] = (struct iovec){buffers[i], size < largest ? size : largest};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  int file = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)atoi(words[sends ? 3 : 2]))};
  long total = 0;
  double end = seconds() + atof(words[sends ? 5 : 3]);
  if (sends) {
    inet_pton(AF_INET, words[2], &address.sin_addr);
    if (connect(file, (struct sockaddr *)&address, sizeof address) < 0) return 1;
    while (seconds() < end) {
      int sent = sendmmsg(file, messages, batch, 0);
      if (sent > 0) total += sent;
    }
  } else {
    int room = 8 << 20;
    struct timeval wait = {0, 100000};
    setsockopt(file, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (bind(file, (struct sockaddr *)&address, sizeof address) < 0) return 1;
    while (seconds() < end) {
      int received = recvmmsg(file, messages, batch, MSG_WAITFORONE, NULL);
      if (received > 0) total += received;
    }
  }
  printf("%ld\n", total);
  return 0;
}
