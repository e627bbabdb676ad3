"""The systemd unit of an agent, for `new`; `examples/operations` has the same for many agents on one machine."""

from __future__ import annotations

from string import Template
from typing import Final

SERVICE_UNIT: Final = Template("""\
# The agent $name, installed in /opt/$name, with its configuration in /etc/templemeads. As root, in the project's directory:
#
#   useradd --system --home-dir /var/lib/templemeads templemeads
#   python3 -m venv /opt/$name && /opt/$name/bin/pip install .
#   install -D -m 0600 -o templemeads agent.toml /etc/templemeads/$name.toml
#   install -m 0644 $name.service /etc/systemd/system/ && systemctl enable --now $name
[Unit]
Description=templemeads agent $name
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
NotifyAccess=main
User=templemeads
# The password of encrypted secrets, such as OPENPORTAL_SECRET=...; the file belongs to root and has mode 0600.
EnvironmentFile=-/etc/templemeads/$name.env
ExecStart=$program -c /etc/templemeads/$name.toml run --store sqlite:////var/lib/templemeads/$name/boards.db
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
WorkingDirectory=/var/lib/templemeads/$name
UMask=0077
LimitNOFILE=65536

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
