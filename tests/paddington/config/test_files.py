"""Files that hold secrets."""

import os
import stat
import threading

import pytest

from paddington import ConfigError
from paddington.config.files import LARGEST, locked, read_checked, write_private


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


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
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
    (tmp_path / "large").write_bytes(b" " * (LARGEST + 1))
    (tmp_path / "just").write_bytes(b" " * LARGEST)
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
    assert len(read_checked(tmp_path / "just").text) == LARGEST


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
