"""Secrets at rest: sealed with AES-256-GCM, bound to the tenant and the place they stand in (security rule 13).

The keys live in a file outside the database, one `id:base64` a line; the last line seals and every line opens, so a new
key is a line more. A stolen database without that file gives nothing away.
Used by `store.domains` (DKIM keys) and for the house's own secrets (`read_secret`), which this file's table holds.
"""

import base64
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select

from gateway.store.database import Transaction
from gateway.store.schema import secret

_NONCE = 12


class WrongKey(Exception):
    """A sealed value that none of our keys opens: the key file does not belong to this database."""


@dataclass(frozen=True, repr=False)
class Seal:
    """The keys of the key file, newest last. Its repr shows none of them."""

    keys: tuple[tuple[str, bytes], ...]

    def __repr__(self) -> str:
        return f"Seal({', '.join(name for name, _ in self.keys)})"

    def close(self, value: bytes, *bound_to: str) -> bytes:
        """Seal `value`, bound to where it is kept (tenant id, table, column, ...)."""
        name, key = self.keys[-1]
        nonce = secrets.token_bytes(_NONCE)
        return name.encode() + b":" + nonce + AESGCM(key).encrypt(nonce, value, "/".join(bound_to).encode())

    def open(self, sealed: bytes, *bound_to: str) -> bytes:
        """What was sealed. Raises WrongKey when no key opens it, or it was moved from elsewhere."""
        name, _, rest = bytes(sealed).partition(b":")
        key = dict(self.keys).get(name.decode("ascii", "replace"))
        if key is None:
            raise WrongKey(f"sealed with key {name[:20]!r}, which the key file does not have")
        try:
            return AESGCM(key).decrypt(rest[:_NONCE], rest[_NONCE:], "/".join(bound_to).encode())
        except InvalidTag:
            raise WrongKey("a sealed value does not open: wrong key file, or the value was moved") from None


def make_key_line() -> str:
    """A new line for the key file."""
    return f"k{secrets.token_hex(3)}:{base64.b64encode(secrets.token_bytes(32)).decode()}"


def read_key_file(path: Path) -> Seal:
    """The keys in `path`. Raises ValueError, saying what to do, when it is missing, open to others, or malformed."""
    if not path.exists():
        raise ValueError(f"the key file {path} is missing; restore it, or run `gateway init` for a new installation")
    if path.stat().st_mode & 0o077:
        raise ValueError(f"the key file {path} is readable by others; run: chmod 600 {path}")
    keys = []
    for number, line in enumerate(path.read_text("ascii", "replace").split("\n"), 1):
        name, colon, text = line.strip().partition(":")
        if not name and not colon:
            continue
        try:
            key = base64.b64decode(text, validate=True)
        except ValueError:
            key = b""
        if len(key) != 32:
            raise ValueError(f"line {number} of the key file {path} is no key; restore the file from its copy")
        keys.append((name, key))
    if not keys:
        raise ValueError(f"the key file {path} is empty")
    return Seal(tuple(keys))


def write_key_file(path: Path) -> Seal:
    """Make a key file, readable by its owner only. Raises FileExistsError rather than overwrite one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(make_key_line() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return read_key_file(path)


def read_secret(tx: Transaction, seal: Seal, tenant_id: str, name: str) -> bytes:
    """One of the house's own secrets; b"" when it was never made."""
    row = tx.first(select(secret.c.value_sealed).where(secret.c.tenant_id == tenant_id, secret.c.name == name))
    return seal.open(row[0], tenant_id, "secret", name) if row else b""


def make_secret(tx: Transaction, seal: Seal, tenant_id: str, name: str) -> bytes:
    """The same, made on first use: 32 random bytes."""
    values = {
        "tenant_id": tenant_id,
        "name": name,
        "value_sealed": seal.close(secrets.token_bytes(32), tenant_id, "secret", name),
    }
    tx.change(tx.upsert(secret).values(values).on_conflict_do_nothing())
    return read_secret(tx, seal, tenant_id, name)
