/* SPDX-License-Identifier: Apache-2.0 */
/* One line for each key service; the list is in kms/provider.c. */
#ifndef SNAPCRYPT_KMS_PROVIDERS_PROVIDERS_H
#define SNAPCRYPT_KMS_PROVIDERS_PROVIDERS_H

#include "kms/provider.h"

extern const struct kms_provider provider_aws;
extern const struct kms_provider provider_azure;
extern const struct kms_provider provider_gcp;
extern const struct kms_provider provider_pkcs11;
extern const struct kms_provider provider_kmip;
extern const struct kms_provider provider_keyring;
extern const struct kms_provider provider_recovery;
extern const struct kms_provider provider_vault;

#endif
