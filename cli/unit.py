"""The systemd unit of an agent, for ``new``; ``examples/operations`` has the same for many agents on one machine."""

from __future__ import annotations

from string import Template
from typing import Final

SERVICE_UNIT: Final = Template("""\
# The agent $name. Copy to /etc/systemd/system, and the configuration to /etc/templemeads/$name.toml (mode 0600, owner
# templemeads). In that configuration: store = "sqlite:////var/lib/templemeads/$name/boards.db".
[Unit]
Description=templemeads agent $name
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
NotifyAccess=main
User=templemeads
ExecStart=/usr/bin/env templemeads -c /etc/templemeads/$name.toml run
# A hard restart ends the process with status 0, for systemd to start it again.
Restart=always
RestartSec=2
WatchdogSec=60
TimeoutStopSec=60

# The control socket is /run/templemeads/$name/$name.sock, where the commands look for it.
RuntimeDirectory=templemeads/$name
RuntimeDirectoryMode=0700
StateDirectory=templemeads/$name
StateDirectoryMode=0700
UMask=0077

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
LimitCORE=0

[Install]
WantedBy=multi-user.target
""")
