"""Ready-made agents: what a centre installs rather than writes.

One file an agent; each has `handlers`, a table to extend, and `run(config)`.

May import: everything below. Nothing below imports this room.
"""
