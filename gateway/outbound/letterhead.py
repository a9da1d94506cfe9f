"""What the gateway writes on every message that leaves: its own names, and the frame of a tenant and thread.

Made once by `serve` from the configuration; used by the door, by composition and by delivery. The author is the shared
address with the company's name (S8), or the tenant's own address when it sends as itself.
"""

from dataclasses import dataclass, field
from datetime import datetime

from gateway.mail.address import Address, parse_address
from gateway.mail.preferences import preferences_key, preferences_token
from gateway.mail.reply import Refused
from gateway.mail.verp import reply_address, return_path
from gateway.outbound.branding import Frame
from gateway.store.tenants import Tenant


@dataclass(frozen=True, slots=True)
class Letterhead:
    """The gateway's names. `reply_key` proves that a reply address is ours."""

    hostname: str
    shared: Address
    return_domain: str
    inbox_domain: str
    reply_key: bytes = field(repr=False)
    public_url: str = ""  # where customers reach the pages, without a final slash; "" when they cannot

    def return_path(self, token: str) -> str:
        """The envelope sender of a delivery."""
        return return_path(token, self.return_domain)

    def reply_to(self, tenant: Tenant, thread_id: str) -> Address:
        """The address that brings an answer into the thread."""
        return parse_address(reply_address(tenant.slug, self.reply_key, tenant.id, thread_id, self.inbox_domain))

    def inbox_address(self, tenant: Tenant) -> str:
        """The tenant's A/R inbox address (S21)."""
        return f"{tenant.slug}@{self.inbox_domain}"

    def rfc_message_id(self, message_id: str) -> str:
        """The Message-ID of a message, without angle brackets: made once, the same in every attempt."""
        return f"{message_id}@{self.shared.domain}"

    def is_send_address(self, address: Address) -> bool:
        """Whether a recipient only means "to whom the document says": send@ the inbox domain."""
        return address.domain == self.inbox_domain and address.local.lower() == "send"

    def check_recipient(self, address: Address) -> None:
        """Raises Refused 550 5.7.1 for an address of our own domains: mail to it is not relayed."""
        own = address.domain == self.inbox_domain and not self.is_send_address(address)
        if address.domain == self.return_domain or own:
            words = f"{address.domain} is this gateway's own domain; mail to it is not relayed"
            raise Refused(550, "5.7.1", words)

    def preferences_url(self, tenant: Tenant, thread_id: str) -> str:
        """Where the customer of a thread turns reminders off, and on again; "" when customers reach no pages."""
        if not self.public_url:
            return ""
        token = preferences_token(preferences_key(self.reply_key), tenant.id, thread_id)
        return f"{self.public_url}/preferences/{token}"

    def unsubscribe(self, tenant: Tenant, thread_id: str) -> tuple[str, ...]:
        """What List-Unsubscribe names: the page and an address (RFC 2369 §3.2), the page alone taking one click."""
        url, mailto = self.preferences_url(tenant, thread_id), f"mailto:{self.reply_to(tenant, thread_id)}"
        return (*((url,) if url else ()), f"{mailto}?subject=unsubscribe")  # inbound.replies reads it

    def frame(
        self,
        tenant: Tenant,
        author: Address,
        message_id: str,
        thread_id: str,
        now: datetime,
        *,
        template: str = "relay",
        language: str = "",
        references: tuple[str, ...] = (),
        automatic: bool = True,
        optional: bool = False,
    ) -> Frame:
        """The frame of one message. `optional`: its customer may turn such mail off (List-Unsubscribe)."""
        return Frame(
            author_name=tenant.company,
            author=author,
            reply_to_name=tenant.company,
            reply_to=self.reply_to(tenant, thread_id),
            message_id=self.rfc_message_id(message_id),
            thread_root=f"thread.{thread_id}@{self.shared.domain}",
            references=references,
            language=language,
            feedback_id=f"{template}:{tenant.slug}:{self.hostname}",
            automatic=automatic,
            unsubscribe=self.unsubscribe(tenant, thread_id) if optional else (),
            date=now,
        )
