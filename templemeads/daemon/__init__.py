"""An agent as a process of a machine.

Signals, the control socket, HTTP endpoints, metrics and systemd. Everything here observes or drives an agent through its
public methods.

May import: `templemeads.agent` and below.
"""
