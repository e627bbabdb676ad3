"""Files that hold secrets."""

import errno
import fcntl
import os
import stat
import threading

import pytest

from paddington import ConfigError
from paddington.config.files import MAX_FILE_BYTES, NewFile, read_checked, write_files, write_private
from paddington.config.locking import locked


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_a_new_file_and_its_directories_are_the_owners_alone(tmp_path):
    path = tmp_path / "a" / "b" / "config.toml"
    write_private(path, "x = 1\n")
    assert path.read_text() == "x = 1\n"
    assert [mode(path), mode(path.parent), mode(path.parent.parent)] == [0o600, 0o700, 0o700]


@pytest.mark.usefixtures("open_umask")
def test_nobody_else_could_ever_read_it(tmp_path, monkeypatch):
    seen = []

    def watched(descriptor):
        seen.extend(mode(path) for path in tmp_path.iterdir())
        return fsync(descriptor)

    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", watched)
    write_private(tmp_path / "config.toml", "secret")
    assert seen
    assert set(seen) == {0o600}


def test_a_rewritten_file_becomes_the_owners_alone(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert mode(path) == 0o600


def test_a_link_at_the_target_is_replaced_and_not_written_through(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = tmp_path / "config.toml"
    path.symlink_to(victim)
    write_private(path, "secret")
    assert victim.read_text() == "precious"
    assert not path.is_symlink()
    assert path.read_text() == "secret"


@pytest.mark.parametrize("broken", ["write", "fsync", "replace"])
def test_when_writing_fails_the_old_file_stays_and_nothing_is_left_behind(tmp_path, monkeypatch, broken):
    path = tmp_path / "config.toml"
    path.write_text("old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    if broken == "write":
        monkeypatch.setattr(os, "fchmod", fail)
    else:
        monkeypatch.setattr(os, broken, fail)
    with pytest.raises(ConfigError, match="No space left on device"):
        write_private(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Cannot write"):
        write_private(tmp_path / "file" / "config.toml", "x")
    with pytest.raises(ConfigError, match="NUL"):
        write_private(f"{tmp_path}/a\0b", "x")


def test_reading_gives_the_text_and_the_mode(tmp_path):
    path = tmp_path / "invite.toml"
    path.write_text("schlüssel")
    path.chmod(0o640)
    file = read_checked(path)
    assert (file.text, file.path, file.mode) == ("schlüssel", path, 0o640)
    assert "schlüssel" not in repr(file)
    with pytest.raises(ConfigError, match="chmod 600"):
        file.refuse_readable("invite")
    path.chmod(0o600)
    read_checked(path).refuse_readable("invite")


def test_a_link_to_ones_own_file_is_followed_for_reading(tmp_path):
    (tmp_path / "real").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert read_checked(tmp_path / "link").text == "text"


def test_what_is_no_ordinary_text_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes(b"one\ntwo\n\xff\n")
    (tmp_path / "large").write_bytes(b" " * (MAX_FILE_BYTES + 1))
    (tmp_path / "just").write_bytes(b" " * MAX_FILE_BYTES)
    for name, words in [
        ("missing", "No such file"),
        ("pipe", "not a regular file"),
        ("latin", r"not UTF-8 text \(line 3\)"),
        ("large", "larger than"),
        ("a\0b", "NUL"),
    ]:
        with pytest.raises(ConfigError, match=words):
            read_checked(f"{tmp_path}/{name}")
    with pytest.raises(ConfigError, match=r"regular file|Is a directory"):
        read_checked(tmp_path)
    with pytest.raises(ConfigError, match="not a regular file"):
        read_checked("/dev/zero")
    assert len(read_checked(tmp_path / "just").text) == MAX_FILE_BYTES


def test_a_strangers_file_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    path.write_text("x")
    os.chown(path, 4242, -1) if os.geteuid() == 0 else pytest.skip("only root can give files away")
    monkeypatch.setattr(os, "geteuid", lambda: 4243)
    with pytest.raises(ConfigError, match="another user"):
        read_checked(path)


def test_edits_of_one_directory_take_turns(tmp_path):
    path = tmp_path / "counter"
    path.write_text("0")

    def add():
        for _ in range(20):
            with locked(path):
                write_private(path, str(int(read_checked(path).text) + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == "80"
    assert list(tmp_path.iterdir()) == [path]


# -- edits and files that belong together ----------------------------------------------------------------------------


def test_an_edit_changes_the_file_that_a_link_means_and_keeps_the_link(tmp_path):
    real = tmp_path / "real" / "config.toml"
    real.parent.mkdir()
    real.write_text("old")
    link = tmp_path / "link"
    link.symlink_to("real/config.toml")
    write_files([NewFile(path=link, text="new", edit=True)])
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert sorted(os.listdir(tmp_path / "real")) == ["config.toml"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_an_edit_by_root_leaves_the_file_with_its_owner_and_group(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("old")
    os.chown(path, 54321, 54322)
    write_files([NewFile(path=path, text="new", edit=True)])
    status = path.stat()
    assert (status.st_uid, status.st_gid, mode(path)) == (54321, 54322, 0o600)


def test_an_edit_that_would_change_the_owner_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    path.write_text("old")
    real_fstat = os.fstat

    def foreign(descriptor):
        values = list(real_fstat(descriptor))
        values[4] += 1  # st_uid
        return os.stat_result(values)

    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fstat", foreign)
    monkeypatch.setattr(os, "fchown", refused)
    with pytest.raises(ConfigError, match="run the command as that user or as root"):
        write_files([NewFile(path=path, text="new", edit=True)])
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["config.toml"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(
    ("keep_group", "group", "expected"), [(False, 54322, 0o600), (True, 54322, 0o640), (True, None, 0o600)]
)
def test_an_edit_leaves_another_group_the_right_to_read_if_asked_to(tmp_path, keep_group, group, expected):
    path = tmp_path / "config.toml"
    path.write_text("old")
    path.chmod(0o666)
    os.chown(path, -1, os.getegid() if group is None else group)
    write_files([NewFile(path=path, text="new", edit=True, keep_group=keep_group)])
    assert mode(path) == expected


@pytest.mark.parametrize("older", [None, "older keys"])
@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EBUSY, "mounted as a single file"),
        (errno.EROFS, "must be writable"),
        (errno.EACCES, "must be writable"),
        (errno.ENOSPC, "make room"),
        (errno.EIO, "Nothing was changed"),
    ],
)
def test_when_the_configuration_cannot_be_replaced_the_invitation_is_taken_back(
    tmp_path, monkeypatch, older, number, advice
):
    invitation, config = tmp_path / "invitation.toml", tmp_path / "config.toml"
    if older is not None:
        invitation.write_text(older)
    config.write_text("old")
    replace = os.replace

    def failing(source, target):
        if target == config:
            raise OSError(number, os.strerror(number))
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(ConfigError, match=advice):
        write_files([NewFile(path=invitation, text="keys"), NewFile(path=config, text="new", edit=True)])
    assert config.read_text() == "old"
    assert (invitation.read_text() if invitation.exists() else None) == older
    assert set(os.listdir(tmp_path)) == {"config.toml"} | ({"invitation.toml"} if older else set())


def test_a_full_disk_changes_neither_of_two_files(tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match=r"second.*No space left on device; make room"):
        write_files([NewFile(path=first, text="1"), NewFile(path=second, text="2")])
    assert os.listdir(tmp_path) == []


def test_a_file_that_exists_is_not_replaced_unless_asked(tmp_path):
    path = tmp_path / "invitation.toml"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="There is a file"):
        write_files([NewFile(path=path, text="new", replace=False)])
    assert path.read_text() == "precious"
    assert os.listdir(tmp_path) == ["invitation.toml"]


# -- the lock --------------------------------------------------------------------------------------------------------


def test_a_locked_directory_does_not_hold_off_an_editor(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("x")
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        with locked(path, patience_seconds=0):
            pass
    finally:
        os.close(directory)


def test_who_holds_the_lock_is_named_first_in_a_notice_and_then_in_the_error(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("x")
    notices = []
    with (
        locked(path),
        pytest.raises(ConfigError, match=rf"locked by process {os.getpid()} \(.*\) for 0.2 s"),
        locked(path, notice_seconds=0.1, patience_seconds=0.2, notify=notices.append),
    ):
        pass
    assert len(notices) == 1
    assert f"is being edited by process {os.getpid()}" in notices[0]


def test_the_lock_follows_the_file_through_its_replacement(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("x")
    with locked(path):
        write_private(path, "y")
        # Who comes now locks the new file, which the first editor has finished.
        with locked(path, patience_seconds=0):
            assert path.read_text() == "y"


def test_a_file_that_does_not_exist_is_not_locked_and_not_made(tmp_path):
    with locked(tmp_path / "missing" / "config.toml", patience_seconds=0):
        pass
    assert os.listdir(tmp_path) == []
