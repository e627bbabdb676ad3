"""Where boards outlive the process.

`open_store` turns a setting such as `sqlite:///boards.db` into a store. `store` is the protocol that an agent uses;
`group_commit` implements it over an `Engine`, which only knows how to read and commit rows; `sqlite` and `postgresql` are
engines, `memory` needs none. `rows` says what a row is and how a damaged one is noticed. A store commits a unit of changes
whole or not at all, in the order in which they were handed over, and nobody is told of a change that is not committed.

May import: `templemeads.jobs` and below. Only `sqlite` imports sqlite3, only `postgresql` psycopg.
"""
