"""Where boards outlive the process.

One protocol (`store`), one module for each engine. A store writes units of changes in the order in which they were
handed over; a unit is committed whole or not at all, and nobody is told of a change that is not committed.

May import: `templemeads.jobs` and below. Only `sqlite` imports sqlite3.
"""
