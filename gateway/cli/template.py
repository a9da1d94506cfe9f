"""`gateway template`: which templates a tenant uses, with PDF or not, and which go by themselves."""

from zoneinfo import ZoneInfo

import click

from gateway.cli.common import Context, json_option, pass_context, plain, show_rows, tenant_option, told, utc_now
from gateway.cli.template_texts import edit, lint, preview, show
from gateway.outbound.reminders import REMINDING
from gateway.outbound.template_list import list_templates
from gateway.outbound.texts import templates
from gateway.store.template_settings import REMINDERS, SWITCHES, change_reminders, change_setting


@click.group()
def template() -> None:
    """Templates and their triggers."""


for _command in (show, edit, preview, lint):
    template.add_command(_command)


@template.command("list")
@tenant_option
@json_option
@pass_context
def list_(context: Context, slug: str, as_json: bool) -> None:
    """List the templates as a tenant has them, and the events that send them."""
    rows = [plain(one) for one in context.read(list_templates, context.tenant(slug).id)]
    show_rows(rows, as_json, empty="no templates")


@template.command("set")
@tenant_option
@click.argument("key")
@click.option("--enabled/--disabled", default=None, help="Whether it may be used.")
@click.option("--attach-pdf/--no-pdf", default=None, help="Whether the PDF goes with it.")
@click.option("--automatic/--manual", default=None, help="Whether its event sends it by itself.")
@click.option("--every-days", type=int, help="Reminders: every so many days (0: not again).")
@click.option("--days-before", type=int, help="Reminders: the first so many days before the day it reminds of.")
@click.option("--start", help="Reminders: not of documents issued before this day (left out: from today on).")
@click.option("--maximum", type=int, help="Reminders: at most so many for a document (0: no limit).")
@click.option("--default", "as_default", is_flag=True, help="Follow the product's default again in everything.")
@json_option
@pass_context
def set_(
    context: Context, /, slug: str, key: str, enabled: bool | None, attach_pdf: bool | None, automatic: bool | None,
    as_default: bool, as_json: bool, **reminders: int | str | None,
) -> None:  # fmt: skip
    """Change a template's switches; they hold from the tenant's next message on."""
    if key not in templates():
        raise click.ClickException(f"there is no template {key!r}; there are {', '.join(templates())}")
    given = {"enabled": enabled, "attach_pdf": attach_pdf, "automatic": automatic}
    changes = dict.fromkeys(SWITCHES) if as_default else {k: v for k, v in given.items() if v is not None}
    asked = dict.fromkeys(REMINDERS) if as_default else {k: v for k, v in reminders.items() if v is not None}
    if not changes and not asked:
        raise click.UsageError("say what to change; see --help")
    tenant = context.tenant(slug)
    if asked and key not in REMINDING and not as_default:
        raise click.ClickException(f"{key} reminds of nothing; templates that do are {', '.join(REMINDING)}")
    if changes:
        context.write(change_setting, tenant.id, key, "", changes)
    if asked:
        today = utc_now().astimezone(ZoneInfo(tenant.timezone)).date()
        context.write(change_reminders, tenant.id, key, asked, today)
    told(as_json, f"changed {key}", template=key, changed=sorted({**changes, **asked}))
