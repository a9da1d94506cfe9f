"""`gateway doctor`: what is wrong with this installation, in words, and what to do about it."""

import asyncio
import socket
from collections.abc import Callable, Iterator

import click

from gateway.cli.common import Context, json_option, pass_context, plain, show_json
from gateway.config import Config, ConfigError
from gateway.mail.address import parse_address
from gateway.serve.health import Finding, examine, look_at_files, utc_now
from gateway.serve.signing_in import make_provider
from gateway.web.oidc.provider import ProviderAway

PROVIDER_SECONDS = 20.0


@click.command()
@json_option
@pass_context
def doctor(context: Context, as_json: bool) -> None:
    """Look at everything that must be right; exit status 1 when something is wrong."""
    findings = [one.in_english() for one in _examine(context)]
    if as_json:
        show_json([{name: said for name, said in plain(one).items() if name != "facts"} for one in findings])
    else:
        for one in findings:
            mark = {"ok": "ok     ", "warning": "WARNING", "wrong": "WRONG  "}[one.state]
            click.echo(f"{mark}  {one.what}: {one.words}{f'; {one.todo}' if one.todo else ''}")
    if any(one.state == "wrong" for one in findings):
        raise SystemExit(1)


def _examine(context: Context) -> Iterator[Finding]:
    try:
        config = context.config
    except ConfigError as error:
        yield Finding("configuration", "wrong", _as_is(error))
        return
    yield Finding("configuration", "ok", _as_is(context.path))
    yield from _look_at_names(config)
    yield from look_at_files(config)
    yield from _look_at_provider(config)
    try:
        database = context.database
    except (ConfigError, Exception) as error:  # whatever a database answers, the doctor goes on
        words = str(error) if isinstance(error, ConfigError) else f"cannot be opened ({type(error).__name__})"
        yield Finding("database", "wrong", _as_is(words))
        return
    yield Finding("database", "ok", f"{database.dialect}, schema up to date")
    yield from examine(database, config)
    yield from _look_at_ports(config)


def _as_is(text: object) -> str:
    """A text that is filled in already, as a finding's words: pages do not say it."""
    return str(text).replace("%", "%%")


def _look_at_names(config: Config) -> Iterator[Finding]:
    names = (config.hostname, parse_address(config.shared_address).domain, config.return_domain, config.inbox_domain)
    examples = [name for name in names if name.endswith(".example")]
    if examples:
        yield Finding(
            "names", "warning", _as_is(f"{examples[0]} is an example"), "put your own domain into the configuration"
        )


def _look_at_provider(config: Config) -> Iterator[Finding]:
    """The identity provider by which people may log in: whether it answers, and as it should."""
    what = "identity provider"
    try:
        provider = make_provider(config)
        if provider is None:
            return
        words = asyncio.run(asyncio.wait_for(provider.examine(utc_now()), PROVIDER_SECONDS))
    except ConfigError as error:
        yield Finding(what, "wrong", _as_is(error))
    except (ProviderAway, TimeoutError) as error:
        words = f"{config.oidc.issuer}: {error or f'no answer within {PROVIDER_SECONDS:.0f} seconds'}"
        todo = (
            f"compare oidc.issuer with what stands at {config.oidc.issuer.rstrip('/')}/.well-known/openid-configuration"
        )
        yield Finding(what, "wrong", _as_is(words), _as_is(f"{todo}; until then people log in by password only"))
    else:
        yield Finding(what, "ok", _as_is(f"{config.oidc.issuer} {words}; it must know {provider.terms.redirect}"))


def _look_at_ports(config: Config) -> Iterator[Finding]:
    doors: list[tuple[str, str, int, Callable[[socket.socket], bool]]] = [
        ("submission", config.submission.host, config.submission.port, _greets),
        ("receiver", config.receiver.host, config.receiver.port, _greets),
        ("web", config.web.host, config.web.port, lambda _: True),
    ]
    for what, host, port, answers in doors:
        if port <= 0:
            continue
        where = f"{host}:{port}"
        try:
            with socket.create_connection((_reachable(host), port), timeout=3) as connection:
                good = answers(connection)
        except OSError as error:
            yield Finding(
                what,
                "warning",
                _as_is(f"nothing answers at {where} ({error.strerror or error})"),
                "run `gateway serve`",
            )
            continue
        yield Finding(
            what, "ok" if good else "wrong", _as_is(f"answers at {where}" if good else f"{where} is not this gateway")
        )


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 what the operator wrote


def _greets(connection: socket.socket) -> bool:
    connection.settimeout(3)
    return connection.recv(4) == b"220 "
