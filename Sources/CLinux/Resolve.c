#include "Resolve.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int starling_resolve(const char *host, struct starling_address *out, int capacity) {
  // One socket type, or each address would come once for every type.
  struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
  struct addrinfo *list = NULL;
  int status = getaddrinfo(host, NULL, &hints, &list);
  if (status != 0) return -abs(status);
  int count = 0;
  for (struct addrinfo *entry = list; entry && count < capacity; entry = entry->ai_next) {
    if (entry->ai_family == AF_INET) {
      out[count].family = 4;
      memcpy(out[count].bytes, &((struct sockaddr_in *)entry->ai_addr)->sin_addr, 4);
      count++;
    } else if (entry->ai_family == AF_INET6) {
      out[count].family = 6;
      memcpy(out[count].bytes, &((struct sockaddr_in6 *)entry->ai_addr)->sin6_addr, 16);
      count++;
    }
  }
  freeaddrinfo(list);
  return count;
}

const char *starling_resolve_error(int result) {
  return gai_strerror(EAI_NONAME < 0 ? result : -result);
}
