#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""PyKMIP's server: pykmip_server.py DIRECTORY PORT CERTIFICATE KEY CA.  Runs until it is killed."""

import sys
import warnings


def main():
    warnings.simplefilter("ignore")
    from kmip.services.server import KmipServer
    directory, port, certificate, key, ca = sys.argv[1:]
    server = KmipServer(hostname="127.0.0.1", port=int(port), certificate_path=certificate, key_path=key, ca_path=ca,
                        auth_suite="TLS1.2", config_path=None, log_path=f"{directory}/server.log",
                        policy_path=directory, enable_tls_client_auth=True, logging_level="WARNING",
                        tls_cipher_suites="TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
                        database_path=f"{directory}/kmip.db")
    with server:
        server.serve()


main()
