#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# nettle.sh FROM.a TO.o: Nettle's AES-256 as one object, to be linked into
# libraries: of Nettle what it needs, and only its calls are global.
set -e
"${LD:-ld}" -r -o "$2" --undefined=nettle_aes256_encrypt \
    --undefined=nettle_aes256_decrypt --undefined=nettle_aes256_invert_key \
    --undefined=nettle_aes256_set_encrypt_key "$1"
"${OBJCOPY:-objcopy}" --wildcard --keep-global-symbol='nettle_aes256_*' "$2"
