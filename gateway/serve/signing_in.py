"""The identity provider by which people may log in, made from the configuration.

Called when the pages are opened. Nothing is asked of the provider before somebody logs in: one that is away stops no
start. Refuses, with ConfigError, a secret's file that cannot be read or that others can.
"""

from types import MappingProxyType

from gateway.config import Config, ConfigError
from gateway.web.oidc.provider import Provider, Terms


def make_provider(config: Config) -> Provider | None:
    """The provider; None when none is named. Raises ConfigError."""
    found = config.oidc
    if not found.issuer:
        return None
    pairs = (pair.partition("=") for pair in found.tenants.split(",") if pair.strip())
    return Provider(
        Terms(
            issuer=found.issuer,
            client_id=found.client_id,
            redirect=f"{config.web.public_url.rstrip('/')}/login/oidc/callback",
            client_secret=_read_secret(config),
            scopes=found.scopes,
            name=found.name,
            create=found.create,
            tenants=MappingProxyType({domain.strip(): slug.strip() for domain, _, slug in pairs}),
            tenant_claim=found.tenant_claim,
        )
    )


def _read_secret(config: Config) -> str:
    if not config.oidc.client_secret_file:
        return ""
    path = config.path(config.oidc.client_secret_file)
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"oidc.client_secret_file {path} is readable by others; run: chmod 600 {path}")
        secret = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        words = getattr(error, "strerror", "") or "it is not ASCII"
        raise ConfigError(f"oidc.client_secret_file {path} cannot be read: {words}") from None
    if not secret:
        raise ConfigError(f"oidc.client_secret_file {path} is empty; write the client's secret into it")
    return secret
