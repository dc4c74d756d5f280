"""Certificates of TLS as trust lists name them: by the SHA-256 of their DER bytes. What must not go in: who holds one, and what for."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256


def fingerprints(pem: bytes) -> tuple[str, ...]:
    """Of every certificate in a PEM text, in its order, 64 hex digits each. Errors: ValueError when there is none or it is damaged."""
    return tuple(certificate.fingerprint(SHA256()).hex() for certificate in x509.load_pem_x509_certificates(pem))
