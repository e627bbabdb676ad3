"""Health, diagnostics, restarts and notifications.

The pure modules decide (`health`, `diagnostics`, `restart`, `notifications`, `paths`); the trio modules ask peers, wait
for their answers and bound what one peer can ask for.

May import: `templemeads.links` and below. Never the agent: operations are given the site that they work for.
"""
