"""Which template a document is sent with when nobody names one: it follows the document's type and its state.

Called by the submission door and by those who send by hand. The ruling: paid → paid_invoice; a plan that awaits the
customer's approval → payment_plan_onboard; never sent → new_invoice; past due → late_payment_reminder; else
unpaid_invoice. Refuses, in words, what has no mail: a voided document, a plan that is approved already.
"""

from datetime import date

from gateway.mail.reply import Refused
from gateway.outbound.documents.fields import date_of
from gateway.outbound.documents.model import Document
from gateway.outbound.texts import is_settled

_ALWAYS = {
    "estimate": "estimate",
    "credit_note": "credit_note",
    "receipt": "payment_receipt",
    "refund": "refund",
    "autopay_failure": "auto_payment_failed",
    "statement": "statement",
}
_APPROVED = ("accepted", "active", "partially_paid", "past_due", "paid", "declined", "expired", "canceled")


def choose_template(document: Document, sent_before: bool, today: date) -> str:
    """The key of the template; `sent_before` whether it was sent or marked as sent, `today` the tenant's day.

    Whether the tenant uses that template at all is the caller's to ask. Raises `Refused` 554 5.6.0.
    """
    if document.status == "voided":
        raise Refused(554, "5.6.0", f"{document.type} {document.number} is voided; there is nothing to send")
    if document.type in _ALWAYS:
        return _ALWAYS[document.type]
    if document.type == "subscription":
        return _of_subscription(document, sent_before, today)
    if document.type == "payment_plan":
        if not awaits_approval(document):
            text = f"payment_plan {document.number} awaits no approval (its status is {document.status})"
            raise Refused(554, "5.6.0", f"{text}; send the invoice that it is about")
        return "payment_plan_onboard"
    return _of_invoice(document, sent_before, today)


def awaits_approval(document: Document) -> bool:
    """Whether it is a plan, or an invoice with one, to which the customer has not agreed yet.

    An invoice's own status says nothing about its plan, so there it takes the link by which the plan is approved.
    """
    if document.status in _APPROVED:
        return False
    if document.type == "payment_plan":
        return True
    return bool(document.payment_plan and document.links and document.links.approve)


def _of_invoice(document: Document, sent_before: bool, today: date) -> str:
    if is_settled(document):
        return "paid_invoice"
    if awaits_approval(document):
        return "payment_plan_onboard"
    if not sent_before:
        return "new_invoice"
    due = date_of(document.due_date)
    return "late_payment_reminder" if due and due < today else "unpaid_invoice"


def _of_subscription(document: Document, sent_before: bool, today: date) -> str:
    subscription = document.subscription
    if document.status == "canceled" or (subscription and subscription.canceled_on):
        return "subscription_canceled"
    renewal = date_of(subscription.next_billing_on) if subscription else None
    return "subscription_renews_soon" if sent_before and renewal and renewal >= today else "subscription_confirmation"
