"""The doors' certificate: checked, and handed to Envoy as a secret in a watched file, so that it changes without a gap.

Envoy itself would watch the two files, but only for renames, and would take a new certificate with an old key; so a
pair that fits is copied.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from fairlead.errors import Invalid
from fairlead.gateway.resources import Resource, extension, typed

SECRET = "door"  # noqa: S105 - a name
_TLS = "envoy.extensions.transport_sockets.tls.v3"


def terminated(secret_file: str, *, alpn: tuple[str, ...] = ()) -> Resource:
    """Return the transport socket of a door whose certificate stands in ``secret_file``; TLS 1.2 and later."""
    source = {"path_config_source": {"path": secret_file}, "resource_api_version": "V3"}
    context: Resource = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificate_sds_secret_configs": [{"name": SECRET, "sds_config": source}],
    }
    if alpn:
        context["alpn_protocols"] = list(alpn)
    return extension("tls", f"{_TLS}.DownstreamTlsContext", common_tls_context=context)


def secret(chain: bytes, key: bytes) -> Resource:
    """Return the secret that holds a certificate chain and its key (PEM)."""
    certificate = {"certificate_chain": _inline(chain), "private_key": _inline(key)}
    return typed(f"{_TLS}.Secret", name=SECRET, tls_certificate=certificate)


def check_pair(chain: bytes, key: bytes, now: datetime) -> None:
    """Raise :class:`Invalid` (``certificate``) unless ``key`` is that of the chain's first one, good ``now``."""
    try:
        first = x509.load_pem_x509_certificates(chain)[0]
    except ValueError as error:
        raise _unfit("there is no certificate in the file of --cert", "give a chain in PEM") from error
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as error:
        raise _unfit(
            "there is no open private key in the file of --key", "give it in PEM, without a password"
        ) from error
    shape = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*shape) != first.public_key().public_bytes(*shape):
        raise _unfit("the key of --key is not that of the certificate", "give the two that were made together")
    if first.not_valid_after_utc < now.astimezone(UTC):
        raise _unfit(f"the certificate ended at {first.not_valid_after_utc:%Y-%m-%d %H:%M} UTC", "renew it")


def _inline(content: bytes) -> Resource:
    return {"inline_bytes": base64.b64encode(content).decode()}


def _unfit(message: str, hint: str) -> Invalid:
    return Invalid(message, code="certificate", hint=hint)
