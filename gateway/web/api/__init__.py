"""The HTTP API at /v1: the same functions as SMTP, the commands and the pages, as JSON, for programs with a key."""
