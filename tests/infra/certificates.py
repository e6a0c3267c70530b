"""A certificate authority and two certificates, for a test broker that speaks TLS and for its clients."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


def write(folder: Path) -> None:
    """`ca.pem`, and `<name>.pem` + `<name>.key` for broker and client."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own = _name("playlake test authority")
    ca = _certificate(own, own, authority, authority, is_ca=True)
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    for name in ("broker", "client"):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        signed = _certificate(_name(name), own, key, authority, is_ca=False)
        (folder / f"{name}.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey, signer: rsa.RSAPrivateKey, *, is_ca: bool
) -> x509.Certificate:
    now = datetime.now(UTC)
    draft = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not is_ca:
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        draft = draft.add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
    return draft.sign(signer, hashes.SHA256())
