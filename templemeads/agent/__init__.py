"""The running agent.

Handlers and what they receive, the runner that starts them within limits, and the agent that ties boards, store, links
and runner together.

May import: `templemeads.operations`, `links`, `stores` and below.
"""
