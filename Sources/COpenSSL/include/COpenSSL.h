#pragma once

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Macros that Swift cannot import, and calls that belong together on the path of every packet. */

/// AES-256-GCM under one key, in one direction, with everything prepared that a packet needs.
struct starling_gcm {
  EVP_CIPHER_CTX *context;
  /// Where `set` and `get` point: only the nonce's bytes and the tag's address change.
  uint8_t nonce[12];
  OSSL_PARAM set[3];
  OSSL_PARAM get[2];
  /// The nonce is set by a parameter, without what the general call looks up by name every time.
  int direct;
};

static inline int starling_gcm_begin(struct starling_gcm *cipher, int encrypt) {
  if (cipher->direct) return EVP_CIPHER_CTX_set_params(cipher->context, cipher->set);
  /* Behind the nonce stands the tag, which is only for opening. */
  return encrypt ? EVP_EncryptInit_ex2(cipher->context, NULL, NULL, cipher->nonce, NULL)
                 : EVP_DecryptInit_ex2(cipher->context, NULL, NULL, cipher->nonce, cipher->set + 1);
}

/// Seals `length` bytes in place under `nonce` and writes the 16-byte tag. 1, or 0.
static inline int starling_gcm_seal(struct starling_gcm *cipher, const uint8_t *header,
                                    int header_length, uint8_t *text, int length, uint8_t *tag) {
  int count = 0;
  cipher->get[0].data = tag;
  return starling_gcm_begin(cipher, 1) == 1 &&
         EVP_EncryptUpdate(cipher->context, NULL, &count, header, header_length) == 1 &&
         EVP_EncryptUpdate(cipher->context, text, &count, text, length) == 1 &&
         EVP_EncryptFinal_ex(cipher->context, text + length, &count) == 1 &&
         EVP_CIPHER_CTX_get_params(cipher->context, cipher->get) == 1;
}

/// Opens `length` bytes in place under `nonce`; 0 where the 16-byte tag does not fit.
static inline int starling_gcm_open(struct starling_gcm *cipher, const uint8_t *header,
                                    int header_length, uint8_t *text, int length, uint8_t *tag) {
  int count = 0;
  cipher->set[1].data = tag;
  return starling_gcm_begin(cipher, 0) == 1 &&
         EVP_DecryptUpdate(cipher->context, NULL, &count, header, header_length) == 1 &&
         EVP_DecryptUpdate(cipher->context, text, &count, text, length) == 1 &&
         EVP_DecryptFinal_ex(cipher->context, text + length, &count) == 1;
}

static inline void starling_gcm_free(struct starling_gcm *cipher) {
  if (!cipher) return;
  EVP_CIPHER_CTX_free(cipher->context);
  free(cipher);
}

static inline struct starling_gcm *starling_gcm_make(const uint8_t *key, int encrypt, int direct) {
  struct starling_gcm *cipher = calloc(1, sizeof *cipher);
  if (!cipher) return NULL;
  cipher->context = EVP_CIPHER_CTX_new();
  cipher->direct = direct;
  /* A size of -1 sets the whole nonce instead of its fixed part (EVP_CTRL_GCM_SET_IV_FIXED). */
  cipher->set[0] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED,
                                                     cipher->nonce, (size_t)-1);
  cipher->set[1] = encrypt ? OSSL_PARAM_construct_end()
                           : OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, NULL, 16);
  cipher->set[2] = OSSL_PARAM_construct_end();
  cipher->get[0] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, NULL, 16);
  cipher->get[1] = OSSL_PARAM_construct_end();
  if (!cipher->context ||
      EVP_CipherInit_ex(cipher->context, EVP_aes_256_gcm(), NULL, key, NULL, encrypt) != 1) {
    starling_gcm_free(cipher);
    return NULL;
  }
  return cipher;
}

/// Whether setting nonces directly seals exactly as the general call does, twice in a row.
static inline int starling_gcm_direct_works(const uint8_t *key) {
  uint8_t results[2][2][32];
  memset(results, 0, sizeof results);
  int works = 1;
  for (int direct = 0; direct < 2 && works; direct++) {
    struct starling_gcm *cipher = starling_gcm_make(key, 1, direct);
    for (int round = 0; round < 2 && works; round++) {
      uint8_t *out = results[direct][round];
      if (cipher) memset(cipher->nonce, 0xf0 + round, sizeof cipher->nonce);
      works = cipher && starling_gcm_seal(cipher, key, 0, out, 16, out + 16) == 1;
    }
    starling_gcm_free(cipher);
  }
  ERR_clear_error();
  return works && memcmp(results[0], results[1], sizeof results[0]) == 0;
}

/// A cipher under a 32-byte key. NULL out of memory.
static inline struct starling_gcm *starling_gcm_create(const uint8_t *key, int encrypt) {
  static const uint8_t example[32] = {1};
  return starling_gcm_make(key, encrypt, starling_gcm_direct_works(example));
}

/// TLS 1.3 only, X25519, AES-256-GCM; both sides show a certificate; no tickets, no resumption.
static inline SSL_CTX *starling_tls_context(void) {
  SSL_CTX *context = SSL_CTX_new(TLS_method());
  if (!context) return NULL;
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  /* The leaf alone is sent: the far side has our CA from the signed record, and only from there. */
  SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384") != 1 ||
      SSL_CTX_set1_groups_list(context, "X25519") != 1 ||
      SSL_CTX_set_num_tickets(context, 0) != 1) {
    SSL_CTX_free(context);
    return NULL;
  }
  return context;
}

/// Whether the only URI among the subject's alternative names is this one.
static inline int starling_has_uri(X509 *certificate, const char *uri) {
  GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
  int uris = 0, equal = 0;
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_URI) continue;
    const ASN1_STRING *text = name->d.uniformResourceIdentifier;
    uris++;
    equal = (size_t)ASN1_STRING_length(text) == strlen(uri) &&
            memcmp(ASN1_STRING_get0_data(text), uri, strlen(uri)) == 0;
  }
  GENERAL_NAMES_free(names);
  return uris == 1 && equal;
}

static inline int starling_verify_identity(X509_STORE_CTX *store, void *uri) {
  if (X509_verify_cert(store) != 1) return 0;
  if (starling_has_uri(X509_STORE_CTX_get0_cert(store), (const char *)uri)) return 1;
  X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

/// The far side's leaf has to chain to the context's store and to carry exactly this SPIFFE URI.
/// The text has to outlive the context.
static inline void starling_require_identity(SSL_CTX *context, const char *uri) {
  SSL_CTX_set_cert_verify_callback(context, starling_verify_identity, (void *)uri);
}
