"""A real OpenLDAP server for tests, on loopback, with an empty tree."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import attrs

BASE = "dc=example,dc=org"
START_SECONDS = 30.0

CONFIGURATION = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {where}/pid
database mdb
maxsize 10485760
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw secret
directory {where}/data
index uid,cn,memberUid eq
"""

TREE = """\
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups
"""


def obstacle():
    """Why this machine cannot run it, or None."""
    missing = [each for each in ("slapd", "ldapadd", "ldapsearch") if shutil.which(each) is None]
    return f"these programs are missing: {', '.join(missing)}" if missing else None


@attrs.frozen
class Ldap:
    """A running server."""

    url: str
    password_file: Path


@contextlib.contextmanager
def started():
    """Start a server, and stop it at the end."""
    where = Path(tempfile.mkdtemp(prefix="slapd-"))
    (where / "data").mkdir()
    (where / "slapd.conf").write_text(CONFIGURATION.format(where=where))
    (where / "password").write_text("secret")
    (where / "password").chmod(0o600)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"ldap://127.0.0.1:{free.getsockname()[1]}"
    with (where / "log").open("w") as log:
        words = ["slapd", "-d", "0", "-h", url, "-f", str(where / "slapd.conf")]
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        add = ["ldapadd", "-x", "-H", url, "-D", f"cn=admin,{BASE}", "-y", str(where / "password")]
        while subprocess.run(add, input=TREE, text=True, capture_output=True, check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"slapd does not start: {(where / 'log').read_text()[:2000]}")
            time.sleep(0.1)
        yield Ldap(url, where / "password")
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(where, ignore_errors=True)
