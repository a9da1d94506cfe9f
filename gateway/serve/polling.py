"""The poller of tenants' mailboxes, made from the configuration.

Called when a house is opened. Mailboxes in private networks are dialled only where mail is delivered there too
(`delivery.allow_private`).
"""

from collections.abc import Callable
from datetime import datetime

from gateway.config import Config
from gateway.inbound.imap_poller import ImapPoller, Pace
from gateway.inbound.imap_wire import Allow, Patience
from gateway.inbound.reception import Reception
from gateway.outbound.mx import is_public
from gateway.store.sealed import Seal


def make_poller(config: Config, reception: Reception, seal: Seal, clock: Callable[[], datetime]) -> ImapPoller:
    """A poller that `run` sets going."""
    wanted = config.imap
    patience = Patience(message=wanted.max_message)
    pace = Pace(wanted.threads, wanted.idle_threads, wanted.poll_seconds, patience, wanted.max_spool)
    return ImapPoller(reception, seal, config.node, clock, allowed(config), pace)


def allowed(config: Config) -> Allow | None:
    """Which addresses a mailbox's server may have; None for all."""
    return None if config.delivery.allow_private else is_public
