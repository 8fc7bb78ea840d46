#include "COpenSSL.h"

/* A program that exits has threads that shake hands to its end: without this OpenSSL frees at exit
   what they use (OPENSSL_init_crypto(3)). It counts only before any other call, so it is made before
   `main`. */
__attribute__((constructor)) static void starling_openssl_keep_until_the_end(void) {
  OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}
