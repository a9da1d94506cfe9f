"""Whether a column holds words that somebody looks for, in the usual ways of writing them.

Used by the lists of documents and customers. SQLite folds no letters beyond ASCII and PostgreSQL none at all in LIKE,
so a word is looked for as it stands, in small letters, in capitals, and with each word's first letter as a capital.
"""

from sqlalchemy import ColumnElement, or_
from sqlalchemy.sql.elements import KeyedColumnElement


def holds(words: str, *columns: KeyedColumnElement[str]) -> ColumnElement[bool]:
    """Whether one of the columns holds the words."""
    spellings = dict.fromkeys((words, words.lower(), words.upper(), words.title()))
    return or_(*(column.contains(text, autoescape=True) for text in spellings for column in columns))
