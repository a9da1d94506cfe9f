"""The command `gateway`: admins run everything by it. A file per noun; each command parses, calls one function, prints.

Exit status: 0 done, 1 refused (the words say what to do), 2 a fault of ours or a wrong call.
"""

import os
import sys
from importlib import import_module

import click

from gateway import __version__
from gateway.config import ConfigError
from gateway.mail.reply import Refused

# A command's module is loaded when the command is used: `gateway trace` does not wait for the renderer, nor the list of
# commands for all of them. The words begin each command's own help.
COMMANDS = {
    "init": (
        "setup",
        "Make configuration, keys, certificate and database; upgrade them when they exist",
    ),
    "serve": ("setup", "Run the gateway until it is told to stop (SIGTERM, Ctrl-C)"),
    "run": ("demo", "Run a whole gateway with a sample tenant and a fake outside world, and say what to look at"),
    "doctor": ("doctor", "Look at everything that must be right; exit status 1 when something is wrong"),
    "tenant": ("tenant", "Companies that send through this gateway"),
    "credential": ("credential", "Logins and networks of billing systems"),
    "api-key": ("api_key", "Keys of the HTTP API"),
    "user": ("user", "People who log in to the pages"),
    "domain": ("domain", "Domains that mail is signed for"),
    "template": ("template", "Templates and their triggers"),
    "send": ("send", "Send FILES: documents (JSON, UBL, CII, a PDF with one inside) or composed mails (.eml)"),
    "validate": ("validate", "Check FILES: documents in JSON, e-invoices in UBL or CII, and PDFs that embed one"),
    "document": ("document", "Documents of a tenant"),
    "customer": ("customer", "Customers of a tenant and their contacts"),
    "reminders": ("reminders", "Reminders of documents, before and after the day that they remind of"),
    "queue": ("queue", "Deliveries: one per message and recipient"),
    "trace": ("trace", "Show what became of QUERY: a message or thread id, an address, a document's number or id"),
    "evidence": ("evidence", "Write a ZIP with all that proves how DOCUMENT (type/id), or THREAD, was mailed"),
    "runs": ("runs", "Runs: mails that were handed over in one batch, and what became of each recipient"),
    "events": ("events", "Print a tenant's events in their order, oldest first"),
    "webhook": ("webhook", "Endpoints that events are delivered to"),
    "inbox": ("inbox", "Threads of the A/R inbox; with --tenant postmaster, mail to the operator"),
    "suppression": ("suppression", "Addresses that mail no longer goes to"),
    "mailbox": ("mailbox", "Tenants' IMAP mailboxes: reports and replies that lie there are taken"),
    "bounce": ("bounce", "Reports and what they mean, and what was missed at addresses that failed"),
}


class Commands(click.Group):
    """The group whose commands live in modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order an admin meets them."""
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, f"{words}.") for name, (_, words) in COMMANDS.items()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; None when there is no such one."""
        if cmd_name not in COMMANDS:
            return None
        found = getattr(import_module(f"gateway.cli.{COMMANDS[cmd_name][0]}"), cmd_name.replace("-", "_"))
        assert isinstance(found, click.Command)
        return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c",
    "--config",
    "path",
    envvar="GATEWAY_CONFIG",
    default="gateway.toml",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="The configuration file.",
)
@click.version_option(__version__, prog_name="gateway")
@click.pass_context
def gateway(context: click.Context, path: str) -> None:
    """The A/R mail gateway: sends a tenant's invoices, and threads what comes back."""
    from gateway.cli.common import Context  # loads the store; --help and --version need not wait for it

    context.obj = Context(path)


def main() -> None:
    """Run the command line; refusals become words and exit status 1."""
    try:
        gateway(prog_name="gateway", standalone_mode=False)
    except click.exceptions.Abort:
        _end("interrupted", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(2 if isinstance(error, click.UsageError) else 1)
    except Refused as refused:
        _end(f"refused: {refused.reply}", 1)
    except ConfigError as error:
        _end(f"gateway: {error}", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `gateway … | head` is no fault
    except OSError as error:
        _end(f"gateway: {error.filename or 'the system'}: {error.strerror or type(error).__name__}", 2)
    except Exception as error:
        if os.environ.get("GATEWAY_DEBUG"):
            raise
        known = _KNOWN.get(type(error).__name__, "a fault of ours; GATEWAY_DEBUG=1 shows where")
        _end(f"gateway: {known} ({type(error).__name__})", 2)


_KNOWN = {
    "StoreUnavailable": "the database did not take it; is the disk full, or the server down?",
    "OperationalError": "the database cannot be reached or read; see `gateway doctor`",
    "ModuleNotFoundError": "a Python package is missing; PostgreSQL needs: pip install 'ar-mail-gateway[postgres]'",
    "WrongKey": "the key file does not belong to this database; restore the one that does",
}


def _end(words: str, status: int) -> None:
    click.echo(words, err=True)
    sys.exit(status)
