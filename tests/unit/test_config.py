"""The configuration: what is refused and in which words, defaults, and paths. No socket, no database."""

from pathlib import Path

import pytest

from gateway.config import Config, ConfigError, describe, read_config, write_sample


def read(folder: Path, text: str) -> Config:
    """The configuration of a file that holds `text`."""
    path = folder / "gateway.toml"
    path.write_text(text, "utf-8")
    return read_config(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('hostnam = "mail.acme.test"', "unknown key hostnam; did you mean hostname?"),
        ("xyzzy = 1", "unknown key xyzzy; known are hostname, shared_address"),
        ("[delivery]\nrelays = 1", "unknown key delivery.relays; did you mean delivery.relay?"),
        ("[recever]\nport = 1", "unknown key recever; did you mean receiver?"),
        ("submission = 587", "submission is a section; write [submission]"),
        ('[submission]\nport = "587"', "submission.port is '587'; a whole number is wanted"),
        ("[submission]\nport = true", "submission.port is True; a whole number is wanted"),
        ("[delivery]\nallow_private = 1", "delivery.allow_private is 1; a true or false is wanted"),
        ("[submission]\nport = 99999", "submission.port is 99999; a port is 1-65535 (0: off, -1: any free one)"),
        ("[submission]\nport = -2", "submission.port is -2; a port"),
        ("[submission]\nmax_memory = 1000", "submission.max_memory is below two messages of submission.max_message"),
        ("[receiver]\nmax_message = 200000000", "receiver.max_memory is below two messages of receiver.max_message"),
        ("min_free = -1", "min_free is -1; 0 turns it off"),
        ("[workers]\ncount = 0", "workers.count is 0; at least 1 is wanted"),
        ("[delivery]\nlease_seconds = 5", "delivery.lease_seconds is below 60"),
        ('[delivery]\nrelay = "mail"', "delivery.relay 'mail' is not \"host:port\""),
        ('[delivery]\nrelay_tls = "yes"', "delivery.relay_tls 'yes' is not one of off, opportunistic, required"),
        ('[delivery]\nhelo = "two words"', "delivery.helo 'two words' is not a host name"),
        ('hostname = "mail_1.acme.test"', "hostname 'mail_1.acme.test' is not a host name"),
        ('return_domain = ""', "return_domain '' is not a host name"),
        ('shared_address = "noreply"', "shared_address 'noreply' is not a mail address"),
        ('log = "loud"', "log 'loud' is not one of debug, info, warning, error"),
        ('node = "a node"', "node 'a node' is not a short name"),
        ('[web]\npublic_url = "http://inbox.acme.test"', "web.public_url 'http://inbox.acme.test' must be https://…"),
        ('[web]\npublic_url = "http://localhost.acme.test"', "must be https://…"),
        ("[submission", "gateway.toml is not TOML"),
        ("a = 1\na = 2", "gateway.toml is not TOML"),
    ],
)
def test_what_cannot_work_is_refused_in_words(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_url_is_never_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, 'database = "mysql://gateway:hunter2@db/gateway"')
    assert str(caught.value) == "database is no URL; write sqlite:///… or postgresql://…"


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no configuration .*; make one with `gateway init`"):
        read_config(tmp_path / "gateway.toml")


def test_an_unreadable_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_config(tmp_path)


def test_the_sample_means_the_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, write_sample()) == read(tmp_path, "")


def test_every_key_of_the_sample_can_be_uncommented(tmp_path: Path) -> None:
    sample = write_sample()
    whole = "\n".join(line.removeprefix("# ") if " = " in line else line for line in sample.split("\n"))
    assert whole.count(" = ") >= len(list(describe()))
    assert read(tmp_path, whole) == read(tmp_path, sample)


def test_what_init_sets_is_what_is_read(tmp_path: Path) -> None:
    changes = {
        "hostname": "mail.acme.test",
        "database": 'postgresql:///gate"way\\',
        "delivery.allow_private": True,
        "submission.port": 2587,
    }
    config = read(tmp_path, write_sample(changes))
    assert config.hostname == "mail.acme.test"
    assert config.database_url == 'postgresql:///gate"way\\'
    assert config.delivery.allow_private is True
    assert config.submission.port == 2587


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = read(tmp_path, 'data = "state"\ntls_certificate = "/etc/tls/chain.pem"\n')
    assert config.data_path == tmp_path / "state"
    assert config.key_path == tmp_path / "state" / "gateway.key"
    assert config.database_url == f"sqlite:///{tmp_path / 'state' / 'gateway.db'}"
    assert config.certificate_paths == (Path("/etc/tls/chain.pem"), Path("/etc/tls/chain.pem"))


def test_every_key_says_what_it_means() -> None:
    keys = [(section, key) for section, key, _, _ in describe()]
    assert len(keys) == len(set(keys))
    for section, key, _, about in describe():
        assert len(about) > 5, (section, key)
