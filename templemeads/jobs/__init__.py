"""What a job is, and everything that is decided about it.

Jobs, commands and their JSON, boards, routes and the exchange. Each step takes values and returns an `Outcome`, the list
of what the shell is to do; it never awaits, never reads a clock and never fails half-way.

May import: `templemeads.grammar`, `config`, `limits`, `errors`, `text`, and the public names of `paddington`.
"""
