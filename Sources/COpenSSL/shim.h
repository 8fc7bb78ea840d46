#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <stdint.h>
#include <string.h>

/* Macros that Swift cannot import, and calls that belong together on the path of every packet. */

/// AES-256-GCM under a 32-byte key; one direction only. NULL where OpenSSL has no such cipher.
static inline EVP_CIPHER_CTX *starling_gcm_create(const uint8_t *key, int encrypt) {
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
  if (context && EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, key, NULL, encrypt) != 1) {
    EVP_CIPHER_CTX_free(context);
    context = NULL;
  }
  return context;
}

/// Seals `length` bytes in place and writes the 16-byte tag. The cipher was looked up when the
/// context was made; only the 12-byte nonce changes. 1, or 0.
static inline int starling_gcm_seal(EVP_CIPHER_CTX *context, const uint8_t *nonce,
                                    const uint8_t *header, int header_length, uint8_t *text,
                                    int length, uint8_t *tag) {
  int count = 0;
  return EVP_EncryptInit_ex(context, NULL, NULL, NULL, nonce) == 1 &&
         EVP_EncryptUpdate(context, NULL, &count, header, header_length) == 1 &&
         EVP_EncryptUpdate(context, text, &count, text, length) == 1 &&
         EVP_EncryptFinal_ex(context, text + length, &count) == 1 &&
         EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1;
}

/// Opens `length` bytes in place; 0 where the 16-byte tag does not fit.
static inline int starling_gcm_open(EVP_CIPHER_CTX *context, const uint8_t *nonce,
                                    const uint8_t *header, int header_length, uint8_t *text,
                                    int length, uint8_t *tag) {
  int count = 0;
  return EVP_DecryptInit_ex(context, NULL, NULL, NULL, nonce) == 1 &&
         EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1 &&
         EVP_DecryptUpdate(context, NULL, &count, header, header_length) == 1 &&
         EVP_DecryptUpdate(context, text, &count, text, length) == 1 &&
         EVP_DecryptFinal_ex(context, text + length, &count) == 1;
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
