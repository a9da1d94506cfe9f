"""A certificate authority for tests: roots, intermediates and servers' certificates, right or wrong as a test likes.

Made with the library that the gateway uses anyway. Everything is valid for 30 days unless told otherwise.
"""

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        """The certificate, as TLS shows it."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def spki(self) -> bytes:
        """Its public key, as selector 1 of TLSA takes it."""
        return self.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def pem(self) -> str:
        """The certificate, for files."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def write(self, folder: Path, *chain: "Issued") -> Path:
        """A file with key, certificate and chain."""
        secret = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        file = folder / f"{self.certificate.serial_number}.pem"
        file.write_text(secret + self.pem + "".join(one.pem for one in chain))
        return file

    def server(self, folder: Path, *chain: "Issued") -> ssl.SSLContext:
        """The TLS of a server that shows it, with this chain."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.write(folder, *chain))
        return context


def issue(
    *names: str, by: Issued | None = None, authority: bool = False, begin: int = -1, end: int = 30,
    path_length: int | None = None, more: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    key: ec.EllipticCurvePrivateKey | None = None,
) -> Issued:  # fmt: skip
    """A certificate for host names (or, with `authority`, of that name), self-signed or `by` another; days from now."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=begin))
        .not_valid_after(now + datetime.timedelta(days=end))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=path_length), critical=True)
    )
    if not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical)
    return Issued(builder.sign(by.key if by else key, hashes.SHA256()), key)
