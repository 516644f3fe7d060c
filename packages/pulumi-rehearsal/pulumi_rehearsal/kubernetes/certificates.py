"""Keys and certificates of a control plane that lives for minutes, all from one authority of its own."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = timedelta(days=2)


@dataclass(frozen=True)
class Pair:
    """Files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates for 127.0.0.1 and localhost, for servers and clients alike.

    Attributes:
        certificate: file of its own certificate.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("rehearsal")
        self.certificate = directory / "ca.crt"
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        signed = self._builder(self._name, self._key).add_extension(constraints, critical=True)
        _write(self.certificate, signed.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    @property
    def base64(self) -> str:
        """Its own certificate, as Kubernetes' objects and EKS's answers have it."""
        return base64.b64encode(self.certificate.read_bytes()).decode()

    def issue(self, common_name: str, file: str) -> Pair:
        """A new key and its certificate, in FILE.crt and FILE.key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        signed = (
            self._builder(_name(common_name), key)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pair = Pair(self.directory / f"{file}.crt", self.directory / f"{file}.key")
        _write(pair.certificate, signed.public_bytes(serialization.Encoding.PEM))
        _write(pair.key, _private(key))
        return pair

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder(issuer_name=self._name, subject_name=subject, public_key=key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))  # clocks of other processes are a little off
            .not_valid_after(now + LIFE)
        )


def signing_key(directory: Path) -> Pair:
    """The RSA key pair that service account tokens are signed with; the first file is the public key."""
    key = rsa.generate_private_key(65537, 2048)
    pair = Pair(directory / "sa.pub", directory / "sa.key")
    encoding, kind = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    _write(pair.certificate, key.public_key().public_bytes(encoding, kind))
    _write(pair.key, _private(key))
    return pair


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    own = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, own, serialization.NoEncryption())


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
