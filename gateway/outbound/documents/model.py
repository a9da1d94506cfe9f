"""A document as a billing system hands it over: invoice, estimate, receipt, statement and their kin.

Made by `documents.read_document` only, from JSON of the published schema (`document.schema.json`, which a test holds
against these models). Values are frozen; amounts and dates are the text that was sent; unknown text is "". Unknown
fields are refused, except inside `endpoint`, ageing buckets and instalments, where the schema allows them.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from gateway.mail.address import Address, parse_address
from gateway.outbound.documents import fields as f

TYPES = (
    "invoice", "estimate", "credit_note", "payment_plan", "receipt", "refund", "autopay_failure", "statement",
    "subscription",
)  # fmt: skip
KINDS = ("cont_de_plata", "factura", "factura_fiscala", "proforma", "invoice", "act_de_verificare")
STATUSES = (
    "draft", "open", "partially_paid", "past_due", "paid", "voided", "bad_debt", "accepted", "declined", "expired",
    "active", "canceled",
)  # fmt: skip
RELATIONS = ("credits", "pays", "refunds", "replaces", "installment_of", "listed_on")
Count = Annotated[StrictInt, Field(ge=1)]


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who gets the mail: `kind` is to, cc or bcc; `name` may be ""."""

    kind: str
    name: str
    address: Address


class Part(BaseModel):
    """What every object of a document is: frozen, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OpenPart(BaseModel):
    """An object in which the schema allows further fields."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Period(Part):
    start: f.Day = Field("", alias="from")
    end: f.Day = Field("", alias="to")


class PostalAddress(Part):
    lines: Annotated[tuple[f.Text, ...], Field(max_length=4)] = ()
    city: f.Text = ""
    postcode: f.Text = ""
    region: f.Text = ""
    country: f.Country = ""


class Contact(Part):
    name: f.Text = ""
    email: f.Mailbox
    phone: f.Text = ""
    role: Annotated[str, f.one_of("billing", "approver", "other")] = ""
    send: Annotated[str, f.one_of("to", "cc", "bcc", "none")] = "to"


class Endpoint(OpenPart):
    scheme: f.Text = ""
    id: f.Text = ""


class Party(Part):
    id: f.PartyKey = ""
    name: f.PartyName
    trade_name: f.Text = ""
    kind: Annotated[str, f.one_of("company", "person")] = ""
    idno: f.Text = ""
    vat: f.Text = ""
    endpoint: Endpoint | None = None
    language: f.Language = ""
    address: PostalAddress | None = None
    phone: f.Text = ""
    email: f.Mailbox = ""
    contacts: tuple[Contact, ...] = ()


class Adjustment(Part):
    charge: StrictBool
    amount: f.Money
    percent: f.DecimalText = ""
    reason: f.Text = ""
    tax_category: f.Text = ""
    tax_rate: f.DecimalText = ""


class Line(Part):
    id: f.Text = ""
    sku: f.Text = ""
    description: f.Text4000
    details: f.Text10000 = ""
    quantity: f.DecimalText = ""
    unit: f.Text = ""
    unit_price: f.DecimalText = ""
    price_base: f.DecimalText = ""
    amount: f.Money = ""
    tax_category: f.Text = ""
    tax_rate: f.DecimalText = ""
    period: Period | None = None
    adjustments: tuple[Adjustment, ...] = ()
    metadata: dict[str, f.Text] = {}


class Tax(Part):
    name: f.Text = ""
    category: f.Text = ""
    rate: f.DecimalText = ""
    base: f.Money = ""
    amount: f.Money
    exemption: f.Text = ""


class Totals(Part):
    lines: f.Money = ""
    discount: f.Money = ""
    charges: f.Money = ""
    net: f.Money = ""
    tax: f.Money = ""
    total: f.Money
    paid: f.Money = ""
    credited: f.Money = ""
    rounding: f.Money = ""
    balance: f.Money = ""


class BankMethod(Part):
    type: Literal["bank"]
    iban: f.Account
    bic: f.Text = ""
    bank: f.Text = ""
    holder: f.Text = ""
    currency: f.Currency = ""


class LinkMethod(Part):
    type: Literal["link"]
    url: f.Link
    label: f.Text = ""


class QrMethod(Part):
    type: Literal["qr"]
    scheme: Annotated[str, f.one_of("epc", "mia", "swiss", "raw")]
    payload: f.Text2048 = ""
    expires_at: f.Moment = ""


class OtherMethod(Part):
    type: Literal["card", "cash", "direct_debit", "other"]
    note: f.Text = ""


Method = Annotated[BankMethod | LinkMethod | QrMethod | OtherMethod, Field(discriminator="type")]


class Payment(Part):
    terms: f.Text2000 = ""
    reference: f.Text140 = ""
    methods: tuple[Method, ...] = ()


class Links(Part):
    view: f.Link = ""
    pay: f.Link = ""
    manage: f.Link = ""
    update_payment: f.Link = ""
    approve: f.Link = ""


class Related(Part):
    type: f.Text
    id: f.Text = ""
    number: f.Text
    date: f.Day = ""
    relation: Annotated[str, f.one_of(*RELATIONS)] = ""
    amount: f.Money = ""


class Receipt(Part):
    amount: f.Money
    paid_at: f.Day
    method: f.Text = ""
    source: f.Text = ""
    reference: f.Text = ""


class Refund(Part):
    amount: f.Money
    refunded_at: f.Day
    original_amount: f.Money = ""
    method: f.Text = ""
    source: f.Text = ""


class Autopay(Part):
    amount: f.Money = ""
    reason: f.Text = ""
    source: f.Text = ""
    attempt: Count = 1
    next_attempt_at: f.Day = ""


class Ageing(OpenPart):
    bucket: f.Text
    amount: f.Money


class Entry(Part):
    date: f.Day
    type: f.Text
    number: f.Text = ""
    debit: f.Money = ""
    credit: f.Money = ""
    balance: f.Money = ""
    due_date: f.Day = ""


class Statement(Part):
    style: Annotated[str, f.one_of("open_item", "balance_forward", "act_de_verificare")] = ""
    start: f.Day = Field(alias="from")
    end: f.Day = Field(alias="to")
    opening_balance: f.Money = ""
    closing_balance: f.Money
    past_due: f.Money = ""
    aging: tuple[Ageing, ...] = ()
    entries: tuple[Entry, ...] = ()


class Subscription(Part):
    plan: f.Text
    amount: f.Money = ""
    interval: f.Text = ""
    starts_on: f.Day = ""
    next_billing_on: f.Day = ""
    canceled_on: f.Day = ""


class Installment(OpenPart):
    due_date: f.Day
    amount: f.Money
    paid: StrictBool = False


class PaymentPlan(Part):
    installments: tuple[Installment, ...] = ()
    approve_by: f.Day = ""


class File(Part):
    filename: f.Text255
    content_type: f.Text = ""
    role: Annotated[str, f.one_of("pdf", "einvoice", "secondary")] = "secondary"
    content: f.Text = ""
    cid: f.Text = ""
    sha256: f.Sha256 = ""


class Document(Part):
    """One document in one revision. (tenant, `type`, `id`) names it."""

    schema_: Literal["urn:ar-gateway:document:1"] = Field("urn:ar-gateway:document:1", alias="schema")
    type: Annotated[str, f.one_of(*TYPES)]
    kind: Annotated[str, f.one_of(*KINDS)] = ""
    id: f.Key
    number: f.Number
    seller_number: Annotated[f.Text, Field(max_length=100)] = ""
    revision: Count = 1
    status: Annotated[str, f.one_of(*STATUSES)] = ""
    language: f.Language = ""
    currency: f.Currency
    issue_date: f.Day = ""
    due_date: f.Day = ""
    delivery_date: f.Day = ""
    valid_days: Annotated[StrictInt, Field(ge=0, le=3650)] | None = None
    period: Period | None = None
    purchase_order: f.Text200 = ""
    contract: f.Text200 = ""
    buyer_reference: f.Text200 = ""
    seller: Party | None = None
    customer: Party
    payer: Party | None = None
    lines: Annotated[tuple[Line, ...], Field(max_length=1000)] = ()
    adjustments: tuple[Adjustment, ...] = ()
    taxes: tuple[Tax, ...] = ()
    totals: Totals | None = None
    payment: Payment | None = None
    links: Links | None = None
    notes: f.Text10000 = ""
    terms: f.Text10000 = ""
    related: tuple[Related, ...] = ()
    receipt: Receipt | None = None
    refund: Refund | None = None
    autopay: Autopay | None = None
    statement: Statement | None = None
    subscription: Subscription | None = None
    payment_plan: PaymentPlan | None = None
    files: Annotated[tuple[File, ...], Field(max_length=20)] = ()
    metadata: Annotated[dict[str, f.Text500], Field(max_length=50)] = {}

    @property
    def payer_or_customer(self) -> Party:
        """Whoever is asked to pay."""
        return self.payer or self.customer

    def canonical(self) -> bytes:
        """The document as stable JSON (sorted keys, defaults left out, UTF-8), for storage and for its hash."""
        values = self.model_dump(by_alias=True, exclude_defaults=True)
        return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

    def recipients(self) -> tuple[Recipient, ...]:
        """The payer's contacts, else the payer's address, else the customer's; each mailbox once."""
        for party in (self.payer, self.customer):
            found = _recipients_of(party) if party is not None else ()
            if found:
                return found
        return ()


def _recipients_of(party: Party) -> tuple[Recipient, ...]:
    wanted = [Recipient(c.send, c.name, parse_address(c.email)) for c in party.contacts if c.send != "none"]
    if not wanted and not party.contacts and party.email:
        wanted = [Recipient("to", party.name, parse_address(party.email))]
    wanted.sort(key=lambda recipient: ("to", "cc", "bcc").index(recipient.kind))
    return tuple({recipient.address.key: recipient for recipient in reversed(wanted)}.values())[::-1]
