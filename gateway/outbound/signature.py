"""The lines below an answer: a wish, who wrote it, the company and how to reach it, in the thread's language.

Called by whoever composes an answer, and by the page that shows beforehand what will stand there. What the clerk wrote
at the end themselves is not said again. A tenant that wants none says so (its option `reply_signature`).
"""

from gateway.store.settings import REPLY_SIGNATURE
from gateway.store.tenants import Tenant

_REGARDS = {"ro": "Cu stimă,", "ru": "С уважением,", "en": "Kind regards,"}


def signature_of(tenant: Tenant, signer: str, language: str, text: str = "") -> tuple[str, ...]:
    """The lines, without what the last paragraph of `text` says already; () when the tenant wants none."""
    if tenant.options.get(REPLY_SIGNATURE) == "off":
        return ()
    end = text.rstrip().rpartition("\n\n")[2].casefold() if "\n\n" in text.strip() else ""
    regards = _REGARDS.get(language, _REGARDS["en"])
    wished = regards.casefold().rstrip(",") in end or bool(signer and signer.casefold() in end)
    reached = (str(tenant.brand.get("phone", "")), tenant.contact_email)
    lines = [] if wished else [regards]
    lines += [one for one in (signer, tenant.company) if one and one.casefold() not in end]
    return (*lines, *(one for one in reached if one and one.casefold() not in end))
