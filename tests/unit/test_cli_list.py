"""The list of commands: it says what each says of itself, and waits for none of them to be loaded."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from gateway.cli import COMMANDS, gateway

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_how_its_own_help_begins(name: str) -> None:
    found = gateway.get_command(click.Context(gateway), name)
    assert found and found.help
    assert " ".join(found.help.split()).startswith(COMMANDS[name][1])


def test_the_list_needs_neither_the_store_nor_a_command() -> None:
    program = (
        "import sys, gateway.cli as c; sys.argv = ['gateway', '--help']\ntry: c.main()\nfinally: print(*sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "  webhook      Endpoints that events are delivered to." in said
    loaded = said.split()
    assert "gateway.cli" in loaded
    assert not [one for one in loaded if one.startswith(("sqlalchemy", "gateway.store", "gateway.cli."))]
