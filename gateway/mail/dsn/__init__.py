"""Reports about mail that was sent: RFC 3464 first, then the shapes of servers that do not follow it, as data.

`parts` cuts a mail, `fields` reads machine-readable blocks, `shapes` reads prose by the table `shapes.toml`, `codes`
finds reply codes, `returned` reads what came back of the original, and `read` puts them together. No module per vendor.
"""
