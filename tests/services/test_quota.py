"""Quotas on real file systems in a loop device, where the kernel has them; otherwise the test says why not."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
import trio

from templemeads.grammar.storage import QuotaLimit
from templemeads.roles.programs import SystemPrograms
from templemeads.roles.quotas import Holder, LinuxQuotas, XfsQuotas
from templemeads.roles.volumes import Volume

NOBODY = 65534

KINDS = {
    "ext4": (["mkfs.ext4", "-q", "-F", "-O", "quota"], "loop,usrquota,grpquota", ("setquota", "repquota")),
    "xfs": (["mkfs.xfs", "-q", "-f"], "loop,uquota,gquota", ("xfs_quota",)),
}


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.fixture(params=KINDS)
def mounted(request, tmp_path):
    """A file system with quotas: its kind and its mount point."""
    make, options, programs = KINDS[request.param]
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    if missing := [each for each in (make[0], *programs) if shutil.which(each) is None]:
        pytest.skip(f"these programs are missing: {', '.join(missing)}")
    image, where = tmp_path / "image", tmp_path / "mounted"
    where.mkdir()
    with image.open("wb") as file:
        file.truncate(400 * 1024 * 1024)
    done = run(*make, str(image))
    assert done.returncode == 0, done.stderr
    done = run("mount", "-o", options, str(image), str(where))
    if done.returncode:
        said = run("dmesg").stdout.strip().splitlines()[-1:] or [done.stderr.strip()]
        pytest.skip(f"this kernel mounts no {request.param} with quotas: {said[0][:200]}")
    try:
        yield request.param, where
    finally:
        run("umount", str(where))


async def test_a_limit_is_read_back_and_holds_a_user_to_it(mounted):
    kind, where = mounted
    programs = SystemPrograms()
    engine = XfsQuotas(programs) if kind == "xfs" else LinuxQuotas(programs, str(where))
    volume = Volume(name="home", roots=(str(where),), subpath=("{project}",), modes=(0o755,))
    holder = Holder("nobody", True)
    await engine.write(volume, holder, QuotaLimit.parse("1MB"))
    assert str((await engine.read(volume, holder)).limit) == "1024.00 KB"
    where.chmod(0o777)
    words = ["sh", "-c", f"head -c 4000000 /dev/zero > {where}/file"]
    full = await trio.run_process(words, capture_stdout=True, capture_stderr=True, check=False, user=NOBODY)
    assert full.returncode != 0, "the limit holds"
    assert (await engine.read(volume, holder)).usage.bytes <= 1024**2
    await engine.write(volume, holder, QuotaLimit())
    assert (await engine.read(volume, holder)).limit.is_unlimited
