"""The wire protocol between two services: values in, values out.

Keys, envelopes, the two framings, the handshake as a state machine, and the rules against replay. Time and randomness are
passed in. Nothing here awaits, opens a file or reads a clock.

May import: `paddington.errors`, `text`, `peer`, `limits`, `events`. Used by the transport modules beside this folder.
"""
