"""One TOML file becomes a frozen `Config`. Only cli and serve import it: rooms are given values.

Unknown keys are refused with a suggestion, wrong types in words. `describe()` is the documentation of every key: the
sample file and docs/operations.md are made from it, and a test keeps them equal. Secrets are never in this file.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any


class ConfigError(Exception):
    """The configuration cannot be used; the text says what to change."""


def _key(default: Any, about: str) -> Any:
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True, slots=True)
class Submission:
    """[submission]: billing systems hand over mail here."""

    host: str = _key("127.0.0.1", "address to listen on")
    port: int = _key(587, "port with STARTTLS; 0 turns it off, -1 takes any free one")
    tls_port: int = _key(465, "port with implicit TLS; 0 turns it off, -1 takes any free one")
    max_message: int = _key(25 * 2**20, "largest message, bytes")
    max_recipients: int = _key(1000, "most recipients of one message")
    max_connections: int = _key(1000, "most connections at once, of both ports")
    max_connections_per_address: int = _key(100, "most connections at once from one address")
    max_memory: int = _key(512 * 2**20, "most bytes of messages that are being handed over at once; beyond it 452")


@dataclass(frozen=True, slots=True)
class Receiver:
    """[receiver]: reports and replies come back here."""

    host: str = _key("127.0.0.1", "address to listen on")
    port: int = _key(25, "SMTP port; 0 turns it off, -1 takes any free one")
    lmtp_port: int = _key(0, "LMTP port, for a mail server in front; 0 turns it off, -1 takes any free one")
    max_message: int = _key(25 * 2**20, "largest message, bytes")
    max_connections: int = _key(500, "most connections at once, of both ports")
    max_connections_per_address: int = _key(50, "most connections at once from one address")
    connections_per_minute: int = _key(300, "most new connections a minute from one address; 0: no limit")
    messages_per_minute: int = _key(600, "most messages a minute from one address, not by LMTP; 0: no limit")
    max_memory: int = _key(256 * 2**20, "most bytes of messages that are coming in at once; beyond it 452")


@dataclass(frozen=True, slots=True)
class Delivery:
    """[delivery]: how mail leaves."""

    relay: str = _key("", 'a smarthost for all mail, "host:port"; empty: the recipient\'s own servers by MX')
    relay_tls: str = _key("opportunistic", "TLS to the relay: off, opportunistic or required")
    port: int = _key(25, "port of the recipients' servers")
    resolver: str = _key("", 'DNS servers, "127.0.0.1:53, …"; empty: those of the system')
    dane: str = _key("auto", "DANE where DNSSEC holds: auto (needs `resolver` on this machine, validating) or off")
    allow_private: bool = _key(False, "deliver to loopback and private addresses too (tests, inner networks)")
    helo: str = _key("", "the name to greet with; empty: `hostname`")
    connections: int = _key(200, "most connections at once")
    connections_per_destination: int = _key(20, "most connections at once to one destination")
    max_message: int = _key(20 * 2**20, "largest mail that is rendered, bytes; files beyond that become links")
    lease_seconds: int = _key(900, "a booked attempt is given to somebody else after so long")
    retry_first_seconds: int = _key(300, "wait before the first retry; it doubles after each")
    retry_longest_seconds: int = _key(4 * 3600, "longest wait between two tries")
    expire_seconds: int = _key(5 * 86400, "give up after so long")
    late_seconds: int = _key(4 * 3600, "tell the thread after so long that its mail is late")
    unclear_retries: int = _key(2, "how often mail is sent again whose final dot had no answer; it may arrive as often")
    advice: str = _key("", "a file of rules on what a server's words ask of us; empty: our own (mail/advice.toml)")
    reasons: str = _key("", "a file of rules on why mail failed, asked before our own (mail/reasons.toml)")


@dataclass(frozen=True, slots=True)
class Imap:
    """[imap]: tenants' mailboxes, which `gateway mailbox` names."""

    threads: int = _key(4, "mailboxes that are looked at at once; 0: none is")
    idle_threads: int = _key(32, "mailboxes that wait with IDLE at once, the busiest; 0: none does")
    poll_seconds: int = _key(300, "how often a mailbox that does not wait is looked at")
    max_message: int = _key(25 * 2**20, "largest mail that is taken, bytes; a larger one is noted")
    max_spool: int = _key(
        2**29, "mail of mailboxes that is stored and not judged yet, bytes; beyond it fetching pauses"
    )


@dataclass(frozen=True, slots=True)
class Web:
    """[web]: the pages."""

    host: str = _key("127.0.0.1", "address to listen on")
    port: int = _key(8080, "port; 0 turns it off, -1 takes any free one")
    public_url: str = _key("http://127.0.0.1:8080", "how browsers reach the pages")
    trusted_proxies: str = _key("", "addresses of a TLS proxy in front, whose X-Forwarded-For counts; comma-separated")
    api_requests: int = _key(600, "requests of one API key in a minute")


@dataclass(frozen=True, slots=True)
class Oidc:
    """[oidc]: people may log in by an identity provider (OpenID Connect)."""

    issuer: str = _key("", "its address, as it writes it itself; empty: people log in by password only")
    client_id: str = _key("", "the gateway's id there; its redirect is web.public_url and /login/oidc/callback")
    client_secret_file: str = _key("", "a file with the client's secret, of mode 0600; empty: a client without one")
    scopes: str = _key("openid email profile", "what is asked for")
    name: str = _key("", "its name on the login page; empty: its host")
    tenants: str = _key("", 'whose users come from which e-mail domain, "acme.example=acme, …"; empty: any user may')
    tenant_claim: str = _key("", "the claim of its tokens that names the tenant, instead of the domain")
    create: str = _key("", "role of users who are made at their first login, clerk or auditor; empty: nobody is")


@dataclass(frozen=True, slots=True)
class Workers:
    """[workers]: processes that render PDFs and read untrusted mail."""

    count: int = _key(2, "how many")
    memory: int = _key(512 * 2**20, "memory of each, bytes")
    render_seconds: int = _key(30, "longest rendering of one document")
    parse_seconds: int = _key(10, "longest reading of one received mail")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that an operator sets. Paths are relative to the configuration file's folder."""

    hostname: str = _key("mail.gateway.example", "this gateway's own name: EHLO, Message-ID, Received")
    shared_address: str = _key(
        "noreply-invoice@gateway.example", "the author of tenants without a domain of their own (S8)"
    )
    return_domain: str = _key("return.gateway.example", "domain of return paths; its MX is this gateway")
    inbox_domain: str = _key(
        "inbox.gateway.example", "domain of the tenants' A/R inbox addresses; its MX is this gateway"
    )
    data: str = _key("data", "folder for the database and the key file; readable by the gateway's user only")
    min_free: int = _key(512 * 2**20, "bytes that stay free in the data folder: mail is put off (452) before they go")
    database: str = _key("", "URL of the database; empty: SQLite in the data folder; or postgresql://…")
    key_file: str = _key("", "keys that seal secrets; empty: gateway.key in the data folder")
    node: str = _key("node1", "name of this node; each node on one database has its own")
    tls_certificate: str = _key("", "PEM file with certificate and chain; empty: `init` makes a self-signed one")
    tls_key: str = _key("", "PEM file with its key")
    log: str = _key("info", "what is logged: debug, info, warning or error")
    submission: Submission = field(default_factory=Submission)
    receiver: Receiver = field(default_factory=Receiver)
    delivery: Delivery = field(default_factory=Delivery)
    imap: Imap = field(default_factory=Imap)
    web: Web = field(default_factory=Web)
    oidc: Oidc = field(default_factory=Oidc)
    workers: Workers = field(default_factory=Workers)
    folder: str = field(default=".", metadata={"hidden": True})

    def path(self, name: str) -> Path:
        """A configured path, absolute."""
        return (Path(self.folder) / name).absolute()

    @property
    def data_path(self) -> Path:
        """The data folder."""
        return self.path(self.data)

    @property
    def database_url(self) -> str:
        """The database's URL."""
        return self.database or f"sqlite:///{self.data_path / 'gateway.db'}"

    @property
    def key_path(self) -> Path:
        """The key file."""
        return self.path(self.key_file) if self.key_file else self.data_path / "gateway.key"

    @property
    def certificate_paths(self) -> tuple[Path, Path]:
        """(certificate, key) for TLS."""
        if self.tls_certificate:
            return self.path(self.tls_certificate), self.path(self.tls_key or self.tls_certificate)
        return self.data_path / "tls.crt", self.data_path / "tls.key"


def read_config(path: Path) -> Config:
    """The configuration in a file. Raises ConfigError, in words."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration {path}; make one with `gateway init`") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    made: Config = _read(Config, data, "", {"folder": str(path.absolute().parent)})
    _check(made)
    return made


def _read(kind: Any, data: dict[str, Any], section: str, more: dict[str, Any]) -> Any:
    known = {f.name: f for f in fields(kind) if not f.metadata.get("hidden")}
    values = dict(more)
    for name, value in data.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {section}{near[0]}?" if near else f"; known are {', '.join(known)}"
            raise ConfigError(f"unknown key {section}{name}{hint}")
        wanted = known[name].type
        if is_dataclass(wanted):
            if not isinstance(value, dict):
                raise ConfigError(f"{section}{name} is a section; write [{name}]")
            values[name] = _read(wanted, value, f"{name}.", {})
        elif type(value) is not wanted:
            raise ConfigError(f"{section}{name} is {value!r}; a {_WORDS.get(wanted, wanted)} is wanted")
        else:
            values[name] = value
    return kind(**values)


_WORDS: dict[Any, str] = {str: 'text in "quotes"', int: "whole number", bool: "true or false"}


_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_A_HOST = "is not a host name; write one like mail.acme.example"
# (key, what its value must match in full, what is wrong with any other)
_FORMS = (
    ("hostname", _HOST, _A_HOST),
    ("shared_address", r"[^@\s]+@[^@\s]+", "is not a mail address; write noreply@your.domain"),
    ("return_domain", _HOST, _A_HOST),
    ("inbox_domain", _HOST, _A_HOST),
    ("database", r"(?:(?:sqlite|postgresql(?:\+psycopg)?)://.*)?", "is no URL; write sqlite:///… or postgresql://…"),
    ("node", r"[a-zA-Z0-9-]{1,60}", "is not a short name of letters, digits and -"),
    ("log", "debug|info|warning|error", "is not one of debug, info, warning, error"),
    ("delivery.relay", r"(?:\S+:[0-9]{1,5})?", 'is not "host:port"'),
    ("delivery.relay_tls", "off|opportunistic|required", "is not one of off, opportunistic, required"),
    ("delivery.dane", "auto|off", "is not one of auto, off"),
    ("delivery.helo", rf"(?:{_HOST})?", _A_HOST),
    ("oidc.issuer", r"(?:https://[^?#\s]+|http://(?:localhost|127(?:\.[0-9]+){3})(?::[0-9]+)?(?:/[^?#\s]*)?)?",
     "must be https://… (http:// only on localhost or 127.0.0.1)"),
    ("oidc.scopes", r"(?:\S+ )*openid(?: \S+)*", "lacks openid"),
    ("oidc.create", "(?:clerk|auditor)?", "is not one of clerk, auditor"),
    ("oidc.tenants", r"(?:\s*[a-z0-9.-]+=[a-z0-9-]+\s*(?:,|$))*",
     "is not of the form acme.example=acme, beta.example=beta"),
    ("web.public_url", r"https://[^/\s]+(?:/\S*)?|http://(?:localhost|127(?:\.[0-9]+){3}|\[::1\])(?::[0-9]+)?/?",
     "must be https://… (http:// only on localhost or 127.0.0.1)"),
)  # fmt: skip


def _check(config: Config) -> None:
    for name, form, wrong in _FORMS:
        section, _, key = name.rpartition(".")
        value = getattr(getattr(config, section) if section else config, key)
        if not re.fullmatch(form, value):
            shown = "" if name == "database" else f" {value!r}"  # that one may hold a password
            raise ConfigError(f"{name}{shown} {wrong}")
    if config.oidc.issuer and not config.oidc.client_id:
        raise ConfigError("oidc.client_id is empty; the provider gives one when the gateway is registered there")
    if config.oidc.create and not (config.oidc.tenants or config.oidc.tenant_claim):
        raise ConfigError("oidc.create needs oidc.tenants or oidc.tenant_claim, which say whose the new users are")
    if config.delivery.lease_seconds < 60:
        raise ConfigError("delivery.lease_seconds is below 60; an attempt would be given away while it runs")
    for where, wanted in (("submission", config.submission), ("receiver", config.receiver)):
        if wanted.max_memory < 2 * wanted.max_message:  # a large one must get through beside another
            raise ConfigError(f"{where}.max_memory is below two messages of {where}.max_message; make it larger")
    if config.min_free < 0:
        raise ConfigError(f"min_free is {config.min_free}; 0 turns it off")
    _check_numbers(config)


_MAY_BE_ZERO = (
    "delivery.unclear_retries", "imap.threads", "imap.idle_threads", "receiver.connections_per_minute",
    "receiver.messages_per_minute",
)  # fmt: skip


def _check_numbers(config: Config) -> None:
    for section in ("submission", "receiver", "delivery", "imap", "web", "workers"):
        for f in fields(getattr(config, section)):
            value, name = getattr(getattr(config, section), f.name), f"{section}.{f.name}"
            if f.type is int and f.name.endswith("port"):
                if not -1 <= value <= 65535:
                    raise ConfigError(f"{name} is {value}; a port is 1-65535 (0: off, -1: any free one)")
            elif f.type is int and value < (least := 0 if name in _MAY_BE_ZERO else 1):
                raise ConfigError(f"{name} is {value}; at least {least} is wanted")


def describe() -> Iterator[tuple[str, str, Any, str]]:
    """(section, key, default, about) of every key, in the order of the sample file."""
    for f in fields(Config):
        if f.metadata.get("hidden"):
            continue
        if is_dataclass(f.type):
            for inner in fields(f.type):
                yield f.name, inner.name, inner.default, inner.metadata["about"]
        else:
            yield "", f.name, f.default, f.metadata["about"]


def write_sample(changes: dict[str, Any] | None = None) -> str:
    """The text of a configuration file with every key, its meaning and its default; `changes` by "section.key"."""
    changes = changes or {}
    lines = ["# The A/R mail gateway. Every key stands here with its default; a commented one need not be set.", ""]
    last = ""
    for section, key, default, about in describe():
        if section != last:
            lines += ["", f"[{section}]"]
            last = section
        name = f"{section}.{key}" if section else key
        value = changes.get(name, default)
        shown = str(value).lower() if isinstance(value, bool) else value if isinstance(value, int) else _quote(value)
        lines += [f"# {about}", f"{'' if name in changes else '# '}{key} = {shown}"]
    return "\n".join(lines) + "\n"


def _quote(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
