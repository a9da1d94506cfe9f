"""A page of the gateway's own on paper: the timeline of an evidence.

Called in a worker process, by the pages, the API and the CLI. The page reaches no file and no network.
"""


def print_evidence(page: str) -> bytes:
    """The timeline's page (XHTML, every text escaped) as a tagged PDF on A4."""
    from gateway.outbound.pdf import print_page  # loads Pango and fonts: 60 MB that only workers need

    return print_page(page, "evidence.css")
