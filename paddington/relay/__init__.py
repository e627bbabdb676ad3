"""Two services that cannot reach each other talk through a third, the proxy, to which both have a connection.

Protocol page *newer-protocol*, section 12. The proxy sees names and sizes and no content. `letter`,
`bootstrap`, `exchange` and `policy` decide, without a clock, a task or I/O.
"""
