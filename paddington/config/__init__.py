"""What a service is configured with: its own file, its peers, invitations, secrets, addresses and names.

Values and the TOML files they are stored in. `files` is the only module that opens files; nothing here knows trio.

May import: `paddington.protocol` (keys) and what that may import.
"""
