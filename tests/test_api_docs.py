"""docs/api.md says what the API is: its operations, their scopes and bodies are written from the OpenAPI document.

Run this file, `python tests/test_api_docs.py`, to write the made part anew.
"""

import inspect
import json
import re
from pathlib import Path
from typing import Any

from gateway.store.api_keys import SCOPES
from gateway.web.api import app as api_app
from gateway.web.api.callers import need
from gateway.web.api.description import LINKS, describe

PAGE = Path(__file__).resolve().parents[1] / "docs" / "api.md"
_MARKS = r"(<!-- operations: [^\n]*-->\n\n?)(.*?)(\n?<!-- end of operations -->)"


def described() -> dict[str, Any]:
    """The OpenAPI document, as it is served."""
    return describe(api_app.bare_api())


def scopes() -> dict[tuple[str, str], str]:
    """(method, path) -> the scope that the route needs, as its dependency closes over it."""
    found = {}
    for part in api_app.ROUTERS:
        for route in part.router.routes:
            for one in route.dependant.dependencies:
                if one.call.__qualname__.startswith(need.__qualname__):
                    scope = inspect.getclosurevars(one.call).nonlocals["scope"]
                    found |= {(method, route.path_format): scope for method in route.methods}
    return found


def made_part() -> str:
    """The operations, as the page lists them."""
    needed, lines = scopes(), []
    for path, operations in described()["paths"].items():
        for method, one in operations.items():
            words = " ".join(one["description"].split())
            lines.append(f"- **`{method.upper()} /v1{path}`** ({needed[(method.upper(), path)] or 'any key'}) {words}")
            for parameter in one.get("parameters", ()):
                if parameter["in"] == "query":
                    lines.append(f"  - `?{parameter['name']}` {parameter.get('description', '')}".rstrip())
            for kind, content in one.get("requestBody", {}).get("content", {}).items():
                name = content["schema"].get("$ref", "").rpartition("/")[2]
                lines.append(f"  - takes `{kind}`" + (f": {name}" if name else ""))
    return "\n".join(lines) + "\n"


def test_every_operation_is_on_the_page_with_its_scope() -> None:
    found = re.search(_MARKS, PAGE.read_text("utf-8"), re.S)
    assert found and found[2].strip() == made_part().strip(), "run: python tests/test_api_docs.py"


def test_every_scope_is_of_some_use_and_on_the_page() -> None:
    assert set(scopes().values()) - {""} == set(SCOPES)
    assert all(f"`{scope}`" in PAGE.read_text("utf-8") for scope in SCOPES)


def test_each_operation_declares_its_problems_and_each_schema_that_it_names() -> None:
    made = described()
    for path, operations in made["paths"].items():
        for method, one in operations.items():
            assert {"401", "403", "404", "405", "422", "429", "503"} <= one["responses"].keys(), (method, path)
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(made)))
    assert named <= made["components"]["schemas"].keys()


def test_each_link_leads_from_an_answer_to_a_parameter_of_an_operation() -> None:
    made = described()
    every = [one for operations in made["paths"].values() for one in operations.values()]
    parameters = {one["operationId"]: {given["name"] for given in one.get("parameters", ())} for one in every}
    assert len(parameters) == len(every), "an operation's id is its own"
    linked = [response["links"] for one in every for response in one["responses"].values() if "links" in response]
    assert {name for links in linked for name in links} == {name for links in LINKS.values() for name in links}
    for link in (link for links in linked for link in links.values()):
        assert link["parameters"].keys() <= parameters[link["operationId"]], link


if __name__ == "__main__":
    text = PAGE.read_text("utf-8")
    found = re.search(_MARKS, text, re.S)
    assert found
    PAGE.write_text(
        f"{text[: found.start()]}{found[1].strip()}\n\n{made_part()}\n{found[3].strip()}{text[found.end() :]}", "utf-8"
    )
