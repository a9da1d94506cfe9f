"""Every table, as SQLAlchemy Core sees it. Migrations make them (`store/migrations`); a test compares the two.

Rules that hold for all: a primary key begins with `tenant_id` and no foreign key or queue query crosses tenants, so
that the same schema can be distributed by tenant; ids are made by us and sort by time (`database.new_id`); times are
whole milliseconds since 1970 UTC (`database.to_ms`); unknown text is "", unknown time NULL; JSON is text.
The comment of a table names the one file that writes it. Rows of the house itself carry `OPERATOR` as tenant.
"""

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy import event as listening
from sqlalchemy.dialects.postgresql import TSVECTOR

OPERATOR = "0" * 20  # the tenant id of whoever runs the gateway: the shared domain, its keys, its secrets

metadata = MetaData()

# PostgreSQL must order ids by byte, whatever the database's collation: paging and "sorts by time" rely on it.
_ID = String(20).with_variant(String(20, collation="C"), "postgresql")


def _id(name: str = "tenant_id", **options: bool) -> Column[str]:
    return Column(name, _ID, nullable=False, **options)  # type: ignore[arg-type]


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _at(name: str, nullable: bool = True) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _number(name: str, default: int = 0) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=str(default))


def _key(name: str = "tenant_id") -> Column[str]:
    return _id(name, primary_key=True)


tenant = Table(
    "tenant",
    metadata,
    _key(),
    Column("slug", String(30), nullable=False, unique=True),  # the name in addresses, CLI and URLs
    _text("company"),
    _text("language"),
    _text("timezone"),
    _text("contact_email"),
    Column("sending", String(10), nullable=False, server_default="shared"),  # whose address is the author: shared | own
    _number("revision", 1),  # of everything a door remembers of the tenant: settings, identities, signing keys
    _text("brand"),  # JSON: colour, address, phone, idno, iban: what a rendered mail shows of the company
    _at("created_at", nullable=False),
    _at("suspended_at"),
    _text("options"),  # JSON: how it works: number patterns, hour of reminders, e-invoices in PDFs (store/settings)
    comment="store/tenants",
)

identity = Table(
    "identity",
    metadata,
    _key(),
    Column("address", String(320), primary_key=True),  # lower-case: the authors that a tenant may use
    _at("created_at", nullable=False),
    comment="store/tenants",
)

credential = Table(
    "credential",
    metadata,
    _key(),
    _key("credential_id"),
    Column("username", String(100), nullable=False, unique=True),
    _text("secret_hash"),  # argon2id; "" for a credential that is a network
    _text("networks"),  # JSON list of CIDR: these peers are this credential without AUTH
    _text("label"),
    _at("created_at", nullable=False),
    _at("revoked_at"),
    comment="store/tenants",
)

api_key = Table(
    "api_key",
    metadata,
    _key(),
    _key("key_id"),
    Column("prefix", String(20), nullable=False),  # the part of the key that is no secret
    Column("secret_hash", String(64), nullable=False),  # SHA-256 of the whole key
    _text("label"),
    _text("scopes"),  # separated by blanks
    _at("created_at", nullable=False),
    _text("created_by"),
    _at("expires_at"),
    _at("revoked_at"),
    _at("last_used_at"),  # to the hour
    Index("api_key_prefix", "prefix", unique=True),
    comment="store/api_keys",
)

user = Table(
    "user_account",
    metadata,
    _key(),
    _key("user_id"),
    Column("email", String(320), nullable=False, unique=True),
    _text("name"),
    _text("password_hash"),
    Column("role", String(10), nullable=False, server_default="clerk"),  # clerk | admin | auditor; operator
    _text("language"),
    _at("created_at", nullable=False),
    _at("disabled_at"),
    comment="store/users",
)

session = Table(
    "session",
    metadata,
    _key(),
    Column("session_id", String(64), primary_key=True),  # SHA-256 of the cookie's token, hex
    _id("user_id"),
    Column("csrf", String(64), nullable=False),
    _at("created_at", nullable=False),
    _at("expires_at", nullable=False),
    Column("seen_at", BigInteger, nullable=False, server_default="0"),  # to ten minutes
    _number("second"),  # 1: more than a password was proven
    _text("address"),
    _text("browser"),  # as it calls itself
    comment="store/users",
)

second_factor = Table(
    "second_factor",
    metadata,
    _key(),
    _key("user_id"),
    Column("secret_sealed", LargeBinary, nullable=False),  # of the codes, RFC 6238
    _at("created_at", nullable=False),
    _at("confirmed_at"),  # NULL: a first code has not been seen, and none is asked for
    Column("last_step", BigInteger, nullable=False, server_default="0"),  # of the code used last: none is taken twice
    comment="store/second_factors",
)

recovery_code = Table(
    "recovery_code",
    metadata,
    _key(),
    _key("user_id"),
    Column("code_hash", String(64), primary_key=True),  # SHA-256; 80 random bits
    comment="store/second_factors",
)

oidc_link = Table(
    "oidc_link",
    metadata,
    _key(),
    _key("user_id"),
    Column("issuer", String(300), primary_key=True),
    Column("subject", String(255), nullable=False),  # who they are there; an e-mail changes hands, this does not
    _at("created_at", nullable=False),
    Index("oidc_link_subject", "issuer", "subject", unique=True),
    comment="store/oidc_links",
)

domain = Table(
    "domain",
    metadata,
    _key(),
    Column("name", String(253), primary_key=True),
    _at("created_at", nullable=False),
    _at("checked_at"),
    _text("findings"),  # JSON: what the last look at its DNS found, worst first
    Index("domain_name", "name", unique=True),
    comment="store/domains",
)

signing_key = Table(
    "signing_key",
    metadata,
    _key(),
    Column("domain", String(253), primary_key=True),
    Column("selector", String(63), primary_key=True),
    Column("algorithm", String(20), nullable=False),  # rsa-sha256 | ed25519-sha256
    Column("private_sealed", LargeBinary, nullable=False),
    _text("public_record"),  # the DNS TXT value
    Column("state", String(10), nullable=False, server_default="active"),  # pending | active | replaced | retired
    _at("created_at", nullable=False),
    _at("changed_at"),  # when it came to this state
    comment="store/domains",
)

secret = Table(
    "secret",
    metadata,
    _key(),
    Column("name", String(50), primary_key=True),
    Column("value_sealed", LargeBinary, nullable=False),
    comment="store/sealed",
)

document = Table(
    "document",
    metadata,
    _key(),
    Column("type", String(20), primary_key=True),
    Column("document_id", String(191), primary_key=True),  # the billing system's own key
    Column("number", String(100), nullable=False),
    _number("revision", 1),
    _text("status"),
    _text("language"),
    _text("currency"),
    _text("customer_id"),
    _text("customer_name"),
    _text("total"),
    _text("balance"),
    _text("issue_date"),
    _text("due_date"),
    Column("body", LargeBinary, nullable=False),  # canonical JSON
    Column("sha256", String(64), nullable=False),
    _id("thread_id"),
    _at("sent_at"),  # by hand, automatically, or marked as sent: one state (S86)
    _at("created_at", nullable=False),
    _at("updated_at", nullable=False),
    Column("automatic_id", _ID, nullable=False, server_default=""),  # the one automatic message of the document (S34)
    _text("customer_key"),  # whose it is: customer.customer_key
    Index("document_number", "tenant_id", "number"),
    Index("document_recent", "tenant_id", "created_at"),  # the list; never changes, so a new state of one touches none
    Index("document_customer", "tenant_id", "customer_key"),
    Index("document_due", "tenant_id", "type", "due_date", "document_id"),  # the scan for reminders
    comment="store/documents",
)

revision = Table(
    "document_revision",
    metadata,
    _key(),
    Column("type", String(20), primary_key=True),
    Column("document_id", String(191), primary_key=True),
    Column("sha256", String(64), primary_key=True),  # of the canonical document
    _number("revision", 1),
    Column("body", LargeBinary, nullable=False),
    _at("created_at", nullable=False),
    comment="store/documents",
)

template_setting = Table(
    "template_setting",
    metadata,
    _key(),
    Column("key", String(40), primary_key=True),
    Column("language", String(2), primary_key=True),  # "" for the switches
    _text("data"),  # JSON: only what the tenant changed
    comment="store/template_settings",
)

idempotency = Table(
    "idempotency",
    metadata,
    _key(),
    Column("key", String(256), primary_key=True),
    Column("digest", String(64), nullable=False),
    _id("message_id"),
    _id("thread_id"),
    _at("created_at", nullable=False),
    comment="store/idempotency",
)

pdf = Table(
    "pdf",
    metadata,
    _key(),
    Column("type", String(20), primary_key=True),
    Column("document_id", String(191), primary_key=True),
    Column("sha256", String(64), primary_key=True),  # of the canonical document and the brand it was drawn with
    _text("filename"),
    Column("content", LargeBinary, nullable=False),
    _at("created_at", nullable=False),
    comment="store/documents",
)

customer = Table(
    "customer",
    metadata,
    _key(),
    Column("customer_key", String(200), primary_key=True),  # the billing system's id, else made of what names it
    _text("name"),
    _text("language"),
    _at("opted_out_at"),  # wants no reminders, statements and renewal notices (List-Unsubscribe)
    _text("opted_out_why"),
    _at("created_at", nullable=False),
    _at("updated_at", nullable=False),
    comment="store/customers",
)

contact = Table(
    "contact",
    metadata,
    _key(),
    Column("customer_key", String(200), primary_key=True),
    Column("address", String(320), primary_key=True),  # lower-case key
    _text("email"),  # as people write it
    _text("name"),
    Column("role", String(10), nullable=False, server_default="to"),  # to | cc | bcc | alternate
    _text("language"),
    Column("source", String(10), nullable=False, server_default="document"),  # document | tenant: who said so
    _at("created_at", nullable=False),
    _at("updated_at", nullable=False),
    Index("contact_address", "tenant_id", "address"),
    comment="store/customers",
)

reminder = Table(
    "reminder",
    metadata,
    _key(),
    Column("type", String(20), primary_key=True),
    Column("document_id", String(191), primary_key=True),
    _text("sent"),  # JSON: template -> {count, on, about, noted}: how many, the day of the last, of which due day
    _text("promised_on"),  # the day by which the customer promised to pay
    _at("paused_at"),
    _text("paused_why"),
    _at("updated_at", nullable=False),
    comment="store/reminders",
)

reminder_run = Table(
    "reminder_run",
    metadata,
    _key(),
    _text("day"),  # the tenant's day whose reminders were looked at last
    _at("ended_at"),  # when it ended; while a node is at it, until when it is that node's
    comment="store/reminders",
)

asset = Table(
    "asset",
    metadata,
    _key(),
    Column("name", String(50), primary_key=True),  # logo
    _text("content_type"),
    Column("content", LargeBinary, nullable=False),
    _at("created_at", nullable=False),
    comment="store/assets",
)

shared_file = Table(
    "shared_file",
    metadata,
    _key(),
    Column("token", String(64), primary_key=True),  # SHA-256 of what the link holds, hex
    _id("message_id"),
    _id("thread_id"),
    _text("filename"),
    _text("content_type"),
    Column("content", LargeBinary, nullable=False),
    _at("created_at", nullable=False),
    _at("expires_at", nullable=False),
    Index("shared_file_token", "token", unique=True),
    comment="store/shared_files",
)

_NUMBERED = text("document_number <> ''")
_OPEN = text("state = 'open'")
_SNOOZED = text("snoozed_until IS NOT NULL")
_PROMISED = text("promised_on <> ''")

thread = Table(
    "thread",
    metadata,
    _key(),
    _key("thread_id"),
    Column("key", String(230), nullable=False),  # type/id of its document, or the id of a thread without one
    _text("subject"),
    _text("document_type"),
    _text("document_id"),
    _text("document_number"),
    _text("customer"),
    Column("state", String(10), nullable=False, server_default="closed"),  # open | waiting | closed | spam
    _text("chip"),  # why it is open: a bounce's reason, reply, problem
    _number("unread"),
    _at("opened_at"),
    _at("last_at", nullable=False),
    _at("created_at", nullable=False),
    # where it stands in the lists: store/threads.LANES; follows from what else the row says
    Column("lane", String(10), nullable=False, server_default="sent"),
    Column("assignee", _ID, nullable=False, server_default=""),  # user_account.user_id
    _at("snoozed_until"),  # of one that waits: it opens by itself then
    _text("promised_on"),  # the day by which the customer promised to pay, as `reminder` has it
    _text("promised_amount"),  # a decimal when only a part was promised
    Index("thread_key", "tenant_id", "key", unique=True),
    Index("thread_lane", "tenant_id", "lane", "last_at"),
    Index("thread_number", "tenant_id", "document_number", sqlite_where=_NUMBERED, postgresql_where=_NUMBERED),
    # of open threads only, and of snoozed and promised ones: sending mail touches none of them
    Index("thread_assignee", "tenant_id", "assignee", "last_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("thread_snoozed", "tenant_id", "snoozed_until", sqlite_where=_SNOOZED, postgresql_where=_SNOOZED),
    Index("thread_promised", "tenant_id", "promised_on", sqlite_where=_PROMISED, postgresql_where=_PROMISED),
    comment="store/threads",
)

thread_tag = Table(
    "thread_tag",
    metadata,
    _key(),
    _key("thread_id"),
    Column("tag", String(50), primary_key=True),
    Index("thread_tag_tag", "tenant_id", "tag", "thread_id"),
    comment="store/tags",
)

note = Table(
    "note",
    metadata,
    _key(),
    _key("note_id"),
    _id("thread_id"),
    _text("author"),  # who wrote it, by their e-mail
    _text("text"),
    _at("created_at", nullable=False),
    Index("note_thread", "tenant_id", "thread_id"),
    comment="store/notes",
)

presence = Table(
    "presence",
    metadata,
    _key(),
    _key("thread_id"),
    _key("user_id"),
    Column("doing", String(10), nullable=False),  # looking | answering
    _at("until", nullable=False),
    Index("presence_until", "until"),
    comment="store/presence",
)

canned = Table(
    "canned",
    metadata,
    _key(),
    _key("canned_id"),
    Column("language", String(2), primary_key=True),
    _text("name"),
    _text("body"),  # with fields in braces
    _text("author"),
    _at("updated_at", nullable=False),
    comment="store/canned",
)

draft = Table(
    "draft",
    metadata,
    _key(),
    _key("thread_id"),
    _key("user_id"),  # "" for the command line
    _text("data"),  # JSON: to whom, the words, which mail is answered, whose files it takes along
    _at("updated_at", nullable=False),
    comment="store/drafts",
)

undo = Table(
    "undo",
    metadata,
    _key(),
    _key("undo_id"),
    _text("by"),
    _text("data"),  # JSON: how each thread stood before and after
    _at("expires_at", nullable=False),
    Index("undo_expires", "expires_at"),
    comment="store/undoing",
)

_UNREADABLE = text("kind = 'unreadable'")

message = Table(
    "message",
    metadata,
    _key(),
    _key("message_id"),
    _id("thread_id"),
    Column("direction", String(3), nullable=False),  # out | in
    Column(
        "kind", String(12), nullable=False
    ),  # relay document | person auto_reply bounce delay success ... unreadable
    _text("rfc_message_id"),  # Message-ID without <>: ours for what leaves, theirs for what comes
    _text("submitted_message_id"),  # what the billing system had called it
    _text("author"),
    _text("recipients"),  # To and Cc as shown
    _text("subject"),
    _text("body_text"),  # the words of it, cut: what the inbox shows and searches
    _text("detail"),  # JSON: attachments, evidence of the kind, peer
    Column("content_state", String(8), nullable=False, server_default="ready"),  # pending | ready
    _number("size"),
    _number("flags"),  # 1 SMTPUTF8, 2 eight-bit body
    _text("template"),
    _text("language"),
    _text("document_type"),
    _text("document_id"),
    _text("credential_id"),
    _at("created_at", nullable=False),
    _text("run"),  # the batch that it was handed over in
    Index(
        "message_thread", "tenant_id", "thread_id", "message_id"
    ),  # a long thread's newest are found without the rest
    Index("message_unreadable", "message_id", sqlite_where=_UNREADABLE, postgresql_where=_UNREADABLE),  # of all tenants
    Index("message_rfc_id", "tenant_id", "rfc_message_id"),
    Index(
        "message_submitted_id",
        "tenant_id",
        "submitted_message_id",
        sqlite_where=text("submitted_message_id <> ''"),
        postgresql_where=text("submitted_message_id <> ''"),
    ),
    comment="store/messages",
)

content = Table(
    "content",
    metadata,
    _key(),
    _key("message_id"),
    Column("raw", LargeBinary, nullable=False),
    comment="store/messages",
)

# The mail of a batch: in no index but of the mail that names one.
_OF_A_RUN = text("run <> ''")
Index(
    "message_run", message.c.tenant_id, message.c.run, message.c.message_id,
    sqlite_where=_OF_A_RUN, postgresql_where=_OF_A_RUN,
)  # fmt: skip

_QUEUED = text("state = 'queued' AND hold = ''")
_HELD = text("state = 'queued' AND hold <> ''")
_BOOKED = text("booked_by <> ''")

delivery = Table(
    "delivery",
    metadata,
    _key(),
    _key("message_id"),
    Column("number", Integer, primary_key=True),  # 1, 2, ... within the message: the recipient's place in the envelope
    _id("thread_id"),
    Column("recipient", String(320), nullable=False),
    Column("token", String(16), nullable=False),  # of its return path
    Column("state", String(10), nullable=False),  # outbound/queue.STATES
    _text("hold"),  # why it waits for a person; "" when it does not
    _at("next_attempt_at", nullable=False),
    _text("booked_by"),  # the node that is trying it now; "" when nobody is
    _number("attempts"),
    _at("expires_at", nullable=False),
    _number("code"),
    _text("status"),
    _text("text"),  # the last words of the remote server
    _text("host"),
    _text("reason"),
    _text("notify"),  # RFC 3461, as the billing system asked
    _at("settled_at"),
    _at("created_at", nullable=False),
    _number("unclear"),  # how many attempts lost the connection after the final dot
    _at("late_at"),  # when the thread was told that it is late
    Index("delivery_due", "tenant_id", "next_attempt_at", sqlite_where=_QUEUED, postgresql_where=_QUEUED),
    Index("delivery_held", "tenant_id", "next_attempt_at", sqlite_where=_HELD, postgresql_where=_HELD),
    Index("delivery_booked", "tenant_id", "booked_by", sqlite_where=_BOOKED, postgresql_where=_BOOKED),
    Index("delivery_token", "token"),
    Index("delivery_recipient", "tenant_id", text("lower(recipient)")),  # people write addresses as they like
    comment="outbound/queue",
)

attempt = Table(
    "attempt",
    metadata,
    _key(),
    _key("message_id"),
    Column("number", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    _at("ended_at", nullable=False),
    _number("milliseconds"),
    _text("action"),
    _number("code"),
    _text("status"),
    _text("text"),
    _text("host"),
    _text("tls"),
    _text("stage"),
    _number("unclear"),  # 1: the final dot was sent and no answer came
    _text("route"),  # direct, relay, or the tenant's own server
    _text("policy"),  # what TLS had to prove: "", mta-sts, dane
    comment="outbound/queue",
)

tenant_queue = Table(
    "tenant_queue",
    metadata,
    _key(),
    _at("due_at"),  # no later than the earliest next_attempt_at of the tenant; NULL: nothing is queued
    Column("served_at", BigInteger, nullable=False, server_default="0"),  # served longest ago: its turn is next
    Index("tenant_queue_due", "due_at"),
    comment="outbound/queue",
)

suppression = Table(
    "suppression",
    metadata,
    _key(),
    Column("address", String(320), primary_key=True),  # lower-case
    _text("reason"),
    _text("evidence"),  # the remote's words
    _id("message_id"),
    _at("created_at", nullable=False),
    Column("source", String(10), nullable=False, server_default="bounce"),  # bounce | complaint | person | import
    _at("expires_at"),
    comment="outbound/suppression",
)

route = Table(
    "route",
    metadata,
    _key(),
    Column("name", String(20), primary_key=True),  # smtp: the tenant's own server
    _text("settings"),  # JSON: host, port, security, username, authentication, fallback, what was learned of it
    Column("secret_sealed", LargeBinary),  # its password, or its OAuth tokens
    _text("state"),  # "", ok, failed
    _text("words"),  # of its last refusal
    _at("changed_at"),  # when it came to this state
    _at("tested_at"),
    _at("refresh_until"),  # a node refreshes the tokens until then
    _at("created_at", nullable=False),
    comment="store/routes",
)

consent = Table(
    "consent",
    metadata,
    _key(),
    Column("state", String(64), primary_key=True),  # SHA-256 of OAuth's state parameter, hex
    Column("flow_sealed", LargeBinary, nullable=False),  # the verifier of PKCE, and for which route
    _at("expires_at", nullable=False),
    Index("consent_state", "state", unique=True),
    comment="store/routes",
)

tls_policy = Table(
    "tls_policy",
    metadata,
    _key(),  # OPERATOR: a domain's policy is the same for all tenants
    Column("domain", String(253), primary_key=True),
    _text("version"),  # the id of its DNS record (RFC 8461 §3.1)
    _text("policy"),
    _at("fetched_at", nullable=False),
    _at("expires_at", nullable=False),
    comment="store/tls_policies",
)

tls_result = Table(
    "tls_result",
    metadata,
    _key(),  # OPERATOR
    Column("day", String(10), primary_key=True),  # UTC
    Column("domain", String(253), primary_key=True),  # the policy's
    Column("policy", String(10), primary_key=True),  # sts | tlsa | none
    Column("host", String(253), primary_key=True),  # the MX that was dialled
    Column("result", String(40), primary_key=True),  # success, or a type of RFC 8460 §4.3
    _number("sessions"),
    _text("words"),
    comment="store/tls_results",
)

usage = Table(
    "usage",
    metadata,
    _key(),
    Column("credential", String(100), primary_key=True),  # "": the tenant as a whole
    Column("hour", BigInteger, primary_key=True),  # hours since 1970 UTC
    _number("messages"),
    _number("recipients"),
    comment="store/usage",
)

trial = Table(
    "trial",
    metadata,
    _key(),
    Column("name", String(330), primary_key=True),  # server, mailbox/NAME, domain/NAME
    _text("started_by"),
    _at("started_at", nullable=False),
    _at("ended_at"),  # NULL: it runs, or died
    _text("steps"),  # JSON: [what, state, words]
    comment="store/trials",
)

mailbox = Table(
    "mailbox",
    metadata,
    _key(),
    Column("name", String(60), primary_key=True),
    _text("settings"),  # JSON: `store.mailbox_account.Account`
    Column("secret_sealed", LargeBinary),  # its password, or its OAuth tokens
    _number("version"),  # of the settings
    _text("state"),  # "", ok, failed
    _text("words"),  # of its last failure
    _at("changed_at"),  # failed: since when; ok: since when again
    _number("failures"),  # in a row
    _at("next_poll_at", nullable=False),
    _text("leased_by"),  # the node that reads it, until leased_until
    _at("leased_until"),
    _at("refresh_until"),  # a node refreshes the tokens until then
    _at("uidvalidity"),  # NULL: not looked at yet
    Column("last_uid", BigInteger, nullable=False, server_default="0"),  # all up to this one were judged
    Column("recheck_below", BigInteger, nullable=False, server_default="0"),  # UIDs below were there before
    _at("polled_at"),  # last looked at with success
    _at("arrived_at"),  # mail was last taken
    _number("taken"),
    _number("passed"),  # left alone
    _at("created_at", nullable=False),
    Index("mailbox_next", "next_poll_at"),
    comment="store/mailboxes",
)

# Mail of mailboxes that is kept, and not judged yet; its bytes are in `content`, under the same id.
spool = Table(
    "spool",
    metadata,
    _key(),
    _key("message_id"),  # which the message will have
    Column("mailbox", String(60), nullable=False),
    Column("uid", BigInteger, nullable=False),
    _number("size"),
    Column("turn", BigInteger, nullable=False),  # the order in which they are judged
    _number("tries"),  # that failed
    _at("next_at", nullable=False),  # not before; booked: until then
    _text("booked_by"),  # the node that judges it now; "" when none does
    _at("came_at", nullable=False),
    Index("spool_turn", "turn"),
    comment="store/spool",
)

endpoint = Table(
    "endpoint",
    metadata,
    _key(),
    _key("endpoint_id"),
    _text("url"),
    _text("types"),  # JSON list of the events that are wanted; "" for all
    Column("secrets_sealed", LargeBinary, nullable=False),  # JSON: the newest, and those that sign along for a while
    Column("state", String(10), nullable=False, server_default="ok"),  # ok | failing | disabled
    _text("words"),  # of its last failure
    _at("changed_at", nullable=False),  # when it came to this state
    Column("cursor", _ID, nullable=False, server_default=""),  # all events up to here were delivered, or given up
    _number("tries"),  # of the event after the cursor
    _at("first_tried_at"),  # that event, with failure
    _at("next_at", nullable=False),
    _text("leased_by"),  # one turn of one node, until leased_until
    _at("leased_until"),
    _at("created_at", nullable=False),
    Index("endpoint_next", "next_at"),
    comment="store/webhooks",
)

endpoint_attempt = Table(
    "endpoint_attempt",
    metadata,
    _key(),
    _key("endpoint_id"),
    _key("attempt_id"),
    _id("event_id"),
    _text("type"),  # of the event
    _at("at", nullable=False),
    _number("milliseconds"),
    _number("code"),  # of HTTP; 0: no answer
    Column("outcome", String(10), nullable=False),  # store/webhooks.OUTCOMES
    _text("words"),
    comment="store/webhooks",
)

event = Table(
    "event",
    metadata,
    _key(),
    _key("event_id"),
    _at("at", nullable=False),
    Column("type", String(40), nullable=False),  # docs/smtp.md, "Events"
    _id("thread_id"),
    _id("message_id"),  # "" when it is about the thread
    _number("number"),  # of the delivery; 0 when it is about the message
    _text("data"),  # JSON
    Index("event_thread", "tenant_id", "thread_id", "event_id"),
    comment="store/events",
)

search_thread = Table(
    "search_thread",
    metadata,
    _key(),
    _key("thread_id"),
    Column("seq", BigInteger, nullable=False),  # its place: the later its last mail, the greater
    _number("version"),  # counts how often it was indexed
    _at("last_at", nullable=False),  # of the thread, when it was indexed
    Column("words", LargeBinary().with_variant(TSVECTOR, "postgresql"), nullable=False),  # SQLite: deflated tokens
    Index("search_thread_seq", "tenant_id", "seq", unique=True),
    Index(
        "search_thread_words", "words", postgresql_using="gin", postgresql_with={"gin_pending_list_limit": 256}
    ).ddl_if(dialect="postgresql"),
    comment="store/search_index",
)

# SQLite's own index of words; its rows are `search_thread.seq`. It keeps no text: `search_thread.words` has it.
SEARCH_WORDS = DDL(  # type: ignore[no-untyped-call]
    "CREATE VIRTUAL TABLE search_words USING fts5(words, content='', columnsize=0, detail=full,"
    " tokenize=\"ascii tokenchars '=:_'\")"
)
listening.listen(search_thread, "after_create", SEARCH_WORDS.execute_if(dialect="sqlite"))

search_progress = Table(
    "search_progress",
    metadata,
    _key(),
    Column("part", String(10), primary_key=True),  # follow: of OPERATOR, what happens; build: the threads of a tenant
    _text("cursor"),  # follow: the event up to which all is indexed
    Column("seq", BigInteger, nullable=False, server_default="0"),  # follow: the last place given; build: the next
    Column("state", String(10), nullable=False, server_default=""),  # build: building | built
    _text("position"),  # build: the last thread that was indexed, LAST_AT.ID
    _number("total"),
    _number("done"),
    _text("leased_by"),  # who is at it, until leased_until
    _at("leased_until"),
    _at("updated_at", nullable=False),
    comment="store/search_progress",
)

saved_search = Table(
    "saved_search",
    metadata,
    _key(),
    _key("search_id"),
    Column("user_id", _ID, nullable=False, server_default=""),  # whose it is; "" for everybody's
    Column("name", String(60), nullable=False),
    _text("query"),
    _at("created_at", nullable=False),
    Index("saved_search_name", "tenant_id", "user_id", "name", unique=True),
    comment="store/saved_searches",
)

node = Table(
    "node",
    metadata,
    _key(),  # OPERATOR
    Column("name", String(120), primary_key=True),  # of a serving process: the node's, with the number of its seat
    _at("started_at", nullable=False),
    _at("seen_at", nullable=False),
    _text("report"),  # JSON: what it is at, how each destination fares, what it found of its health
    _text("asked"),  # JSON: the destinations that a person wants it to try again at once
    comment="store/nodes",
)

measure = Table(
    "measure",
    metadata,
    _key(),  # OPERATOR: all tenants together
    Column("slot", BigInteger, primary_key=True),  # tens of minutes since 1970 UTC
    _number("accepted"),
    _number("relayed"),
    _number("failed"),
    _number("half"),  # of what was relayed: half came there within this many milliseconds of its acceptance
    _number("most"),  # and 95 of a hundred
    Column("queued", Integer),  # at its end; NULL: nobody looked, and for a single tenant
    Index("measure_slot", "slot"),
    comment="store/measures",
)
