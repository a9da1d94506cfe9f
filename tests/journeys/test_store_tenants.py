"""Tenants, credentials, users, domains and secrets, on both databases: what is kept, refused and hidden."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from journeys.house import Place, make_config
from sqlalchemy import select

from gateway.mail.reply import Refused
from gateway.store.database import Database, Transaction
from gateway.store.domains import add_domain, add_key, list_domains, list_keys, open_keys
from gateway.store.schema import OPERATOR, metadata
from gateway.store.sealed import Seal, WrongKey, make_key_line, make_secret, read_key_file, read_secret, write_key_file
from gateway.store.tenants import (
    Tenant,
    add_credential,
    add_identity,
    add_tenant,
    find_login,
    find_tenant,
    get_tenant,
    list_credentials,
    list_identities,
    list_networks,
    remove_identity,
    revoke_credential,
    set_tenant,
    tenant_revision,
    verify_password,
)
from gateway.store.users import (
    SESSION_TIME,
    add_user,
    disable_user,
    end_session,
    find_session,
    find_user,
    list_users,
    set_password,
    start_session,
)

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
PASSWORD = "a good password"


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    """An open database with the tenants acme and beta."""
    made = Database(make_config(place).database_url)
    yield made
    made.close()


@pytest.fixture
def acme(database: Database) -> Tenant:
    """The tenant acme."""
    found = database.read_now(find_tenant, "acme")
    assert found
    return found


@pytest.fixture
def seal(place: Place) -> Seal:
    """The keys of the place."""
    return read_key_file(make_config(place).key_path)


def everything(tx: Transaction) -> str:
    """All that the database holds, as a thief would read it."""
    return "\n".join(repr(tuple(row)) for table in metadata.tables.values() for row in tx.all(select(table)))


# -- tenants


@pytest.mark.parametrize(
    "slug", ["", "Acme", "1c", "-a", "a-", "a_b", "a b", "a" * 31, "ană", "b", "send", "postmaster"]
)
def test_a_name_that_cannot_stand_in_an_address_is_refused(database: Database, slug: str) -> None:
    with pytest.raises(Refused, match="tenant's name"):
        database.write_now(add_tenant, NOW, slug, "Company")


def test_a_name_is_given_once(database: Database) -> None:
    with pytest.raises(Refused, match="'acme' is taken"):
        database.write_now(add_tenant, NOW, "acme", "Another")
    made = database.write_now(add_tenant, NOW, "a" * 30, "Long")
    assert database.read_now(get_tenant, made.id) == made


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"company": "  "}, "company's name is empty"),
        ({"company": "A\nBcc: x@y.example"}, "not one line"),
        ({"company": "x" * 201}, "longer than 200"),
        ({"language": "de"}, "not one of ro, ru, en"),
        ({"timezone": "Mars/Base"}, "time zone"),
        ({"timezone": "../../etc/passwd"}, "time zone"),
        ({"timezone": ""}, "time zone"),
        ({"sending": "both"}, "not one of shared, own"),
        ({"contact_email": "nobody"}, "not a mail address"),
        ({"brand": {"colour": "red"}}, "#1a2b3c"),
        ({"brand": {"address": "a\r\nb"}}, "not one line"),
    ],
)
def test_a_setting_that_would_fail_later_is_refused_now(
    database: Database, acme: Tenant, change: dict[str, object], words: str
) -> None:
    with pytest.raises(Refused, match=words):
        database.write_now(set_tenant, acme.id, **change)
    assert database.read_now(get_tenant, acme.id) == acme


def test_every_change_that_a_door_must_see_has_a_revision(database: Database, acme: Tenant, seal: Seal) -> None:
    seen = [database.read_now(tenant_revision, acme.id)]

    def changed() -> bool:
        seen.append(database.read_now(tenant_revision, acme.id))
        return seen[-1] > seen[-2]

    database.write_now(set_tenant, acme.id, company="Acme")
    assert changed()
    database.write_now(add_identity, NOW, acme.id, "Facturare@acme.test")
    assert changed()
    database.write_now(add_key, NOW, seal, acme.id, "acme.test", "s1", "rsa-sha256", b"private", "v=DKIM1")
    assert changed()
    database.write_now(remove_identity, acme.id, "facturare@acme.test")
    assert changed()
    assert database.read_now(tenant_revision, "0" * 20) == 0


def test_a_brand_is_merged_and_an_empty_value_takes_away(database: Database, acme: Tenant) -> None:
    database.write_now(set_tenant, acme.id, brand={"colour": "#AA0011", "phone": "+373 22 000 000"})
    database.write_now(set_tenant, acme.id, brand={"phone": ""})
    found = database.read_now(get_tenant, acme.id)
    assert found and found.brand == {"colour": "#AA0011"}


def test_identities_are_compared_without_case(database: Database, acme: Tenant) -> None:
    for _ in range(2):
        database.write_now(add_identity, NOW, acme.id, "Facturare@ACME.test")
    assert database.read_now(list_identities, acme.id) == ["facturare@acme.test"]
    assert database.write_now(remove_identity, acme.id, "FACTURARE@acme.test")
    assert not database.write_now(remove_identity, acme.id, "facturare@acme.test")


# -- credentials


def test_a_credential_is_found_until_it_is_revoked(database: Database, acme: Tenant) -> None:
    made, password = database.write_now(add_credential, NOW, acme.id, username="Billing")
    found = database.read_now(find_login, "BILLING")
    assert found and found[:2] == (acme.id, made.id)
    assert found[2].startswith("$argon2id$")
    assert verify_password(found[2], password)
    assert not verify_password(found[2], password + "x")
    assert not verify_password("", password)
    with pytest.raises(Refused, match="is taken"):
        database.write_now(add_credential, NOW, acme.id, username="billing")
    beta = database.read_now(find_tenant, "beta")
    assert beta
    assert not database.write_now(revoke_credential, NOW, beta.id, "billing"), "another tenant's"
    assert database.write_now(revoke_credential, NOW, acme.id, "billing")
    assert database.read_now(find_login, "billing") is None
    assert [one.revoked_at for one in database.read_now(list_credentials, acme.id) if one.id == made.id] == [NOW]


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "10.0.0.1/24", "acme.test", "", "1.2.3.4/7"])
def test_a_network_that_is_none_or_half_the_internet_is_refused(database: Database, acme: Tenant, network: str) -> None:
    with pytest.raises(Refused, match=r"network|so wide"):
        database.write_now(add_credential, NOW, acme.id, networks=(network,))


def test_a_network_is_a_credential_without_a_password(database: Database, acme: Tenant) -> None:
    made, password = database.write_now(add_credential, NOW, acme.id, networks=("10.1.2.0/24", "2001:db8::/64"))
    assert password == ""
    rows = database.read_now(list_networks)
    assert {(network, name) for network, _, name in rows} == {
        ("10.1.2.0/24", made.username),
        ("2001:db8::/64", made.username),
    }
    found = database.read_now(find_login, made.username)
    assert found and not verify_password(found[2], "")


# -- users


def test_a_session_lasts_its_time_and_is_its_users(database: Database, acme: Tenant) -> None:
    who = database.write_now(add_user, NOW, acme.id, "Ana@acme.test", PASSWORD, name="Ana")
    cookie, started = database.write_now(start_session, NOW, who)
    assert database.read_now(find_session, NOW, cookie) == started
    assert database.read_now(find_session, NOW + SESSION_TIME - timedelta(seconds=1), cookie) == started
    assert database.read_now(find_session, NOW + SESSION_TIME, cookie) is None
    beta = database.read_now(find_tenant, "beta")
    assert beta
    forged = f"{beta.id}.{cookie.partition('.')[2]}"
    for wrong in (forged, "", ".", cookie + "x", cookie.partition(".")[0]):
        assert database.read_now(find_session, NOW, wrong) is None
    assert cookie.partition(".")[2] not in database.read_now(everything)
    database.write_now(end_session, cookie)
    assert database.read_now(find_session, NOW, cookie) is None


def test_a_new_password_and_a_disabled_user_end_every_session(database: Database, acme: Tenant) -> None:
    who = database.write_now(add_user, NOW, acme.id, "ana@acme.test", PASSWORD)
    cookies = [database.write_now(start_session, NOW, who)[0] for _ in range(2)]
    assert database.write_now(set_password, NOW, acme.id, "ana@acme.test", "another password")
    assert all(database.read_now(find_session, NOW, cookie) is None for cookie in cookies)
    found = database.read_now(find_user, "ANA@acme.test")
    assert found and verify_password(found[1], "another password") and not verify_password(found[1], PASSWORD)
    cookie, _ = database.write_now(start_session, NOW, who)
    assert database.write_now(disable_user, NOW, acme.id, "ana@acme.test")
    assert database.read_now(find_session, NOW, cookie) is None
    assert database.read_now(find_user, "ana@acme.test") is None
    assert "ana@acme.test" not in [one.email for one in database.read_now(list_users, acme.id)]


@pytest.mark.parametrize(
    ("email", "password", "more", "words"),
    [
        ("ana@acme.test", "short", {}, "shorter than 10"),
        ("nobody", PASSWORD, {}, "not a mail address"),
        ("ana@acme.test", PASSWORD, {"role": "root"}, "role"),
        ("ana@acme.test", PASSWORD, {"language": "de"}, "language"),
    ],
)
def test_a_user_that_cannot_be_is_refused(
    database: Database, acme: Tenant, email: str, password: str, more: dict[str, str], words: str
) -> None:
    with pytest.raises(Refused, match=words):
        database.write_now(add_user, NOW, acme.id, email, password, **more)


# -- secrets and keys


def test_a_sealed_value_opens_only_where_it_stands(tmp_path: Path) -> None:
    seal = write_key_file(tmp_path / "key")
    sealed = seal.close(b"secret", "tenant", "table", "column")
    assert seal.open(sealed, "tenant", "table", "column") == b"secret"
    assert b"secret" not in sealed
    assert seal.close(b"secret", "tenant", "table", "column") != sealed
    for elsewhere in (("other", "table", "column"), ("tenant", "table"), ()):
        with pytest.raises(WrongKey, match="moved"):
            seal.open(sealed, *elsewhere)
    with pytest.raises(WrongKey):
        seal.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), "tenant", "table", "column")
    with pytest.raises(WrongKey, match="does not have"):
        write_key_file(tmp_path / "other").open(sealed, "tenant", "table", "column")
    assert "secret" not in repr(seal) and seal.keys[0][1].hex() not in repr(seal)


def test_a_key_is_rotated_by_adding_a_line(tmp_path: Path) -> None:
    path = tmp_path / "key"
    sealed = write_key_file(path).close(b"old", "x")
    with path.open("a") as file:
        file.write(make_key_line() + "\n")
    rotated = read_key_file(path)
    assert len(rotated.keys) == 2
    assert rotated.open(sealed, "x") == b"old"
    assert rotated.close(b"new", "x").partition(b":")[0] == rotated.keys[-1][0].encode()
    with pytest.raises(FileExistsError):
        write_key_file(path)


@pytest.mark.parametrize("text", ["", "k1\n", "k1:\n", "k1:AAAA\n", "k1:not base64!\n", "ключ:\xff\n"])
def test_a_damaged_key_file_is_refused_in_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    with pytest.raises(ValueError, match=r"key file .*(no key|empty)"):
        read_key_file(path)


def test_a_house_secret_is_made_once(database: Database, acme: Tenant, seal: Seal) -> None:
    assert database.read_now(read_secret, seal, acme.id, "mine") == b""
    made = database.write_now(make_secret, seal, acme.id, "mine")
    assert len(made) == 32
    assert database.write_now(make_secret, seal, acme.id, "mine") == made
    assert database.read_now(read_secret, seal, acme.id, "mine") == made
    assert database.write_now(make_secret, seal, OPERATOR, "mine") != made


def test_a_domain_is_one_tenants_and_its_keys_are_sealed(database: Database, acme: Tenant, seal: Seal) -> None:
    beta = database.read_now(find_tenant, "beta")
    assert beta
    for _ in range(2):
        database.write_now(add_domain, NOW, acme.id, "acme.test")
    assert database.read_now(list_domains, acme.id) == ["acme.test"]
    for tenant_id in (beta.id, OPERATOR):
        with pytest.raises(Refused, match="another tenant"):
            database.write_now(add_domain, NOW, tenant_id, "acme.test")
    for wrong in ("acme", "", "a b.test", "-.test", "acme..test"):
        with pytest.raises(Refused, match="not a domain"):
            database.write_now(add_domain, NOW, acme.id, wrong)
    private = b"-----BEGIN PRIVATE KEY-----\nabc"
    database.write_now(add_key, NOW, seal, acme.id, "acme.test", "s1", "rsa-sha256", private, "v=DKIM1; p=abc")
    [(key, opened)] = database.read_now(open_keys, seal, acme.id, "acme.test")
    assert (key.selector, opened) == ("s1", private)
    assert database.read_now(open_keys, seal, beta.id, "acme.test") == []
    assert [one.selector for one in database.read_now(list_keys, acme.id, "acme.test")] == ["s1"]
    assert "PRIVATE KEY" not in database.read_now(everything)
