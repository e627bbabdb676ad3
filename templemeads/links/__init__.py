"""Our side of each connection.

The state of each peer, what waits to be sent to it, and the two loops that run while it is connected.

May import: `templemeads.jobs` and below, and the public names of `paddington`. Never the agent: a link is given its owner.
"""
