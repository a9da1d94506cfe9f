"""Writes gateway/templates/email/caniemail.json: what mail clients support, for `template lint`. Run by hand, rarely.

`python scripts/caniemail.py TARBALL`, TARBALL being the npm package `caniemail` (MIT) as a registry gives it: `npm pack
caniemail`. Of each feature of HTML and CSS the newest verdict about each client that we judge by is kept, a letter
each: y supported, a in part, n not, u unknown. The licence of the data is written beside it.
"""

import json
import sys
import tarfile
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[1] / "gateway" / "templates" / "email"
CLIENTS = {
    "gmail/desktop-webmail": "Gmail in a browser",
    "gmail/ios": "Gmail for iOS",
    "gmail/android": "Gmail for Android",
    "outlook/windows": "Outlook for Windows",
    "outlook/outlook-com": "Outlook in a browser",
    "outlook/macos": "Outlook for Mac",
    "outlook/ios": "Outlook for iOS",
    "apple-mail/macos": "Apple Mail",
    "apple-mail/ios": "Mail on the iPhone",
    "yahoo/desktop-webmail": "Yahoo Mail in a browser",
    "mail-ru/desktop-webmail": "Mail.ru in a browser",
    "thunderbird/macos": "Thunderbird",
    "samsung-email/android": "Samsung Email",
}
MEMBERS = {"data": "package/data/caniemail.json", "licence": "package/LICENSE", "about": "package/package.json"}


def main(tarball: Path) -> None:
    """Write the table and the licence."""
    with tarfile.open(tarball) as archive:
        read = {name: _read(archive, path) for name, path in MEMBERS.items()}
    source, about = json.loads(read["data"]), json.loads(read["about"])
    found = [one for one in source["data"] if one["category"] in ("html", "css")]
    features = [f"  {json.dumps(one['slug'])}: {json.dumps([one['title'], _verdicts(one)])}" for one in found]
    head = {
        "about": f"caniemail {about['version']} ({source['last_update_date'][:10]}), https://www.caniemail.com/, MIT: "
        "caniemail.LICENSE. Written by scripts/caniemail.py.",
        "clients": list(CLIENTS.values()),
    }
    text = json.dumps(head, indent=1)[:-2] + ',\n "features": {\n' + ",\n".join(sorted(features)) + "\n }\n}\n"
    (TARGET / "caniemail.json").write_text(text, "utf-8")
    (TARGET / "caniemail.LICENSE").write_text(read["licence"], "utf-8")
    sys.stdout.write(f"{len(features)} features, {len(CLIENTS)} clients\n")


def _read(archive: tarfile.TarFile, path: str) -> str:
    member = archive.extractfile(path)
    if member is None:
        sys.exit(f"the package has no {path}")
    return member.read().decode()


def _verdicts(feature: dict[str, Any]) -> str:
    """A letter for each client; the versions are listed from the oldest to the newest."""
    letters = []
    for name in CLIENTS:
        family, platform = name.split("/")
        versions = list(feature["stats"].get(family, {}).get(platform, {}).values())
        letters.append(versions[-1][0] if versions else "u")
    return "".join(letters)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/caniemail.py TARBALL")
    main(Path(sys.argv[1]))
