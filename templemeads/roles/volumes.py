"""The volumes of the filesystem agent: their settings, and which directories and links a project or user has there. Pure.

A path is a *place*: a configured root, which is trusted, and names below it, which come from identifiers. Each name is
checked again here, whatever the grammar has checked before: a template of the configuration takes part in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from paddington import ConfigError
from paddington.config.toml import TableReader

from ..errors import JobError, ParseError
from ..grammar.mappings import ProjectMapping, UserMapping
from ..grammar.storage import QuotaLimit
from ..text import quoted

RECYCLE: Final = ".recycle"
"""Name of the directory beside others into which they are moved when they are removed."""

MAX_NAME_BYTES: Final = 255
"""Bytes of a name in a path: the limit of the file systems of Linux."""

MAX_ROOTS: Final = 100
"""Roots of one volume."""

_MODE: Final = re.compile(r"0?[0-7]{3,4}")
_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_USER_FIELDS: Final = ("user", "project", "portal", "group")
_PROJECT_FIELDS: Final = ("project", "portal", "group")


@attrs.frozen
class Place:
    """A path below a root.

    Attributes:
        root: The configured directory; it must exist, and may be a symbolic link.
        parts: The names below it, at least one; none of them is ever followed through a symbolic link.
    """

    root: str
    parts: tuple[str, ...]

    def __attrs_post_init__(self) -> None:
        """Check the names."""
        if not self.parts:
            raise JobError(f"A path under {self.root} must go below it", kind="invalid")
        for part in self.parts:
            if (
                part in ("", ".", "..", RECYCLE)
                or any(character in part for character in "/\0\n")
                or len(part.encode(errors="replace")) > MAX_NAME_BYTES
            ):
                raise JobError(f"{quoted(part)} cannot be the name of a directory", kind="invalid")

    def __str__(self) -> str:
        """The whole path."""
        return "/".join((self.root.rstrip("/"), *self.parts))

    @property
    def recycled(self) -> str:
        """Where it is moved when it is removed."""
        return "/".join((self.root.rstrip("/"), *self.parts[:-1], RECYCLE, self.parts[-1]))


@attrs.frozen
class Directory:
    """A directory that there shall be.

    Attributes:
        place: Where.
        owner: The user that owns it.
        group: The group that it belongs to.
        mode: Its permissions.
        is_shared: Whether it belongs to no project: it is made if it is missing, and otherwise left as it is.
    """

    place: Place
    owner: str
    group: str
    mode: int
    is_shared: bool = False


@attrs.frozen
class Link:
    """A symbolic link that there shall be.

    Attributes:
        path: Where; it is configured as a whole.
        target: The directory that it points to.
    """

    path: str
    target: str


@attrs.frozen(kw_only=True)
class Volume:
    """A volume of users or of projects.

    Attributes:
        name: What instructions call it.
        roots: Directories under which there is one directory for each.
        subpath: The names below a root, with `{project}`, `{user}`, `{portal}` and `{group}`.
        modes: Permissions, one for each root.
        is_home: Whether home directories are there.
        links: A link for each root, or an empty text.
        engine: Name of the quota engine, if there is one.
        mount_point: The mount point that the engine works on; the first root if it is not given.
        max_quota: The most that may be asked for.
        default_quota: What everybody gets at first.
        inode_limit: How many files everybody may have.
    """

    name: str
    roots: tuple[str, ...]
    subpath: tuple[str, ...]
    modes: tuple[int, ...]
    is_home: bool = False
    links: tuple[str, ...] = ()
    engine: str | None = None
    mount_point: str | None = None
    max_quota: QuotaLimit | None = None
    default_quota: QuotaLimit | None = None
    inode_limit: int | None = None

    @property
    def mount(self) -> str:
        """The mount point that the quota engine works on."""
        return self.mount_point or self.roots[0]

    @property
    def depth_of_project(self) -> int:
        """How many names of the subpath belong to the project rather than to one user; 0 if the user's comes first."""
        for index, part in enumerate(self.subpath):
            if "{user}" in part:
                own = self.subpath[:index]
                return index if any("{project}" in each for each in own) else 0
        return len(self.subpath)

    def places(self, names: Mapping[str, str]) -> list[Place]:
        """Return the directory under each root."""
        return [Place(root, tuple(_filled(part, names) for part in self.subpath)) for root in self.roots]

    def with_parents(self, names: Mapping[str, str], depth: int) -> Iterator[tuple[Place, int, bool]]:
        """Yield the places to be made under each root, parents first: place, mode, and whether it is the last one."""
        for root, mode in zip(self.roots, self.modes, strict=True):
            parts = tuple(_filled(part, names) for part in self.subpath[:depth])
            for length in range(1, depth + 1):
                yield Place(root, parts[:length]), mode, length == depth


def names_of_project(project: ProjectMapping) -> dict[str, str]:
    """Return what the fields of a template stand for."""
    return {
        "project": project.project.project,
        "portal": project.project.portal,
        "group": project.local_group,
    }


def names_of_user(user: UserMapping) -> dict[str, str]:
    """Return what the fields of a template stand for."""
    return {**names_of_project(user.project_mapping), "user": user.local_user}


@attrs.frozen
class Volumes:
    """All volumes.

    Attributes:
        users: Volumes with a directory for each user.
        projects: Volumes with a directory for each project.
    """

    users: Mapping[str, Volume]
    projects: Mapping[str, Volume]

    # -- what there shall be ------------------------------------------------------------------------------------

    def of_project(self, project: ProjectMapping) -> list[Directory | Link]:
        """Return the directories and links of a project, in the order in which they are made."""
        names = names_of_project(project)
        wanted: list[Directory | Link] = []
        for volume in self.projects.values():
            wanted += _directories(volume, names, len(volume.subpath), "root", project.local_group)
            wanted += self.links_of(volume, names)
        for volume in self.users.values():
            wanted += _directories(volume, names, volume.depth_of_project, "root", project.local_group)
        return wanted

    def of_user(self, user: UserMapping) -> list[Directory | Link]:
        """Return the directories of a user. Those of the project come before them (`of_project`)."""
        names = names_of_user(user)
        wanted: list[Directory | Link] = []
        for volume in self.users.values():
            every = _directories(volume, names, len(volume.subpath), user.local_user, user.local_group)
            below = volume.depth_of_project
            wanted += [each for each in every if len(each.place.parts) > below]
        return wanted

    def links_of(self, volume: Volume, names: Mapping[str, str]) -> list[Link]:
        """Return the links of a project on a volume."""
        return [
            Link(_filled_path(link, names), str(place))
            for link, place in zip(volume.links, volume.places(names), strict=False)
            if link
        ]

    def removed_with_project(self, project: ProjectMapping) -> tuple[list[Link], list[Place]]:
        """Return the links to remove and the directories to recycle with a project."""
        names = names_of_project(project)
        links, places = [], []
        for volume in self.projects.values():
            links += self.links_of(volume, names)
            places += volume.places(names)
        for volume in self.users.values():
            depth = volume.depth_of_project
            places += [place for place, _, last in volume.with_parents(names, depth) if last]
        return links, places

    def removed_with_user(self, user: UserMapping) -> list[Place]:
        """Return the directories to recycle with a user."""
        return [place for volume in self.users.values() for place in volume.places(names_of_user(user))]

    def home(self, user: UserMapping) -> str:
        """Return the home directory.

        Raises:
            JobError: No volume has home directories.
        """
        for volume in self.users.values():
            if volume.is_home:
                return str(volume.places(names_of_user(user))[0])
        raise JobError("No user volume is configured as the one with home directories")

    def user_directories(self, user: UserMapping) -> list[str]:
        """Return the directories of a user."""
        return [str(place) for place in self.removed_with_user(user)]

    def project_directories(self, project: ProjectMapping) -> list[str]:
        """Return the directories of a project."""
        names = names_of_project(project)
        return [str(place) for volume in self.projects.values() for place in volume.places(names)]

    # -- reading ------------------------------------------------------------------------------------------------

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any], engines: Mapping[str, object]) -> Volumes:
        """Read the root tables `[user_volumes]` and `[project_volumes]`.

        Args:
            tables: The tables of the configuration.
            engines: The quota engines, by name.

        Raises:
            ConfigError: Something is missing or wrong; the message says where.
        """
        users = _read_all(tables, "user_volumes", engines)
        projects = _read_all(tables, "project_volumes", engines)
        homes = [name for name, volume in users.items() if volume.is_home]
        if len(homes) > 1:
            raise ConfigError(f"Only one user volume may have is_home = true, not {', '.join(homes)}")
        if not homes and len(users) == 1:
            (name, only) = next(iter(users.items()))
            users[name] = attrs.evolve(only, is_home=True)
        for volume in users.values():
            if volume.is_home and len(volume.roots) != 1:
                raise ConfigError(
                    f"The user volume {quoted(volume.name)} has home directories: it must have one root"
                )
        return cls(users, projects)


def _directories(
    volume: Volume, names: Mapping[str, str], depth: int, owner: str, group: str
) -> list[Directory]:
    """Return the directories down to a depth; parents of all projects belong to root."""
    wanted = []
    for place, mode, last in volume.with_parents(names, depth):
        shared = not last and not any("{project}" in part for part in volume.subpath[: len(place.parts)])
        if shared:
            wanted.append(Directory(place, "root", "root", 0o755, is_shared=True))
        else:
            wanted.append(Directory(place, owner if last else "root", group, mode))
    return wanted


def _filled(template: str, names: Mapping[str, str]) -> str:
    def name(match: re.Match[str]) -> str:
        return names[match[1].lower()]

    return _FIELD.sub(name, template)


def _filled_path(template: str, names: Mapping[str, str]) -> str:
    parts = tuple(_filled(part, names) for part in template.strip("/").split("/"))
    return str(Place("/", parts))


def _read_all(tables: Mapping[str, Any], key: str, engines: Mapping[str, object]) -> dict[str, Volume]:
    reader = TableReader(tables, "The configuration").optional_table(key)
    if reader is None:
        return {}
    fields = _USER_FIELDS if key == "user_volumes" else _PROJECT_FIELDS
    return {name: _read_volume(name, reader.table(name), fields, engines) for name in reader.values}


def _read_volume(
    name: str, table: TableReader, fields: tuple[str, ...], engines: Mapping[str, object]
) -> Volume:
    is_user = "user" in fields
    roots = _texts(table, "roots")
    if not roots or len(roots) > MAX_ROOTS:
        raise table.error("roots", f"must be a list of 1 to {MAX_ROOTS} directories")
    for root in roots:
        if not root.startswith("/") or root == "/" or ".." in root.split("/"):
            raise table.error("roots", f"must be absolute paths without .., not {quoted(root)}")
    subpath = table.optional_text("subpath") or ("{project}/{user}" if is_user else "{project}")
    parts = tuple(_lowered(part) for part in subpath.split("/"))
    for part in parts:
        if part in ("", ".", "..", RECYCLE):
            raise table.error("subpath", "must be names separated by single slashes, without . and ..")
        _check_fields(table, "subpath", part, fields)
    needed = ("{project}", "{user}") if is_user else ("{project}",)
    for field in needed:
        if not any(field in part for part in parts):
            raise table.error("subpath", f"must have {field} in it")
    modes = _texts(table, "permissions") if table.has("permissions") else ("0755" if is_user else "2770",)
    if len(modes) == 1:
        modes *= len(roots)
    if len(modes) != len(roots) or not all(_MODE.fullmatch(mode) for mode in modes):
        raise table.error(
            "permissions", 'must be octal digits in quotation marks such as "2770", one text or one a root'
        )
    links = _texts(table, "links") if table.has("links") and not is_user else ()
    for link in filter(None, links):
        if not link.startswith("/") or ".." in link.split("/") or "{project}" not in _lowered(link):
            raise table.error("links", "must be absolute paths with {project} in them and without ..")
        _check_fields(table, "links", _lowered(link), fields)
    engine = table.optional_text("quota_engine")
    if engine is not None and engine not in engines:
        raise table.error("quota_engine", f"names {quoted(engine)}, which is not under [quota_engines]")
    volume = Volume(
        name=name,
        roots=roots,
        subpath=parts,
        modes=tuple(int(mode, 8) for mode in modes),
        is_home=is_user and table.has("is_home") and table.boolean("is_home"),
        links=tuple(_lowered(link) for link in links),
        engine=engine,
        mount_point=table.optional_text("mount_point"),
        max_quota=_limit(table, "max_quota"),
        default_quota=_limit(table, "default_quota"),
        inode_limit=table.integer("default_inode_limit", 0, 2**63 - 1)
        if table.has("default_inode_limit")
        else None,
    )
    if volume.default_quota and volume.max_quota and volume.default_quota > volume.max_quota:
        raise table.error("default_quota", f"is above max_quota, which is {volume.max_quota}")
    return volume


def _texts(table: TableReader, key: str) -> tuple[str, ...]:
    value = table.values.get(key)
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise table.error(key, "must be a list of texts")
    return tuple(str(each) for each in values)


def _limit(table: TableReader, key: str) -> QuotaLimit | None:
    text = table.optional_text(key)
    if text is None:
        return None
    try:
        return QuotaLimit.parse(text)
    except ParseError as error:
        raise table.error(key, f"must be a size such as 100GB, or unlimited: {error}") from None


def _lowered(template: str) -> str:
    return _FIELD.sub(lambda match: match[0].lower(), template)


def _check_fields(table: TableReader, key: str, template: str, fields: tuple[str, ...]) -> None:
    for field in _FIELD.findall(template):
        if field not in fields:
            known = ", ".join(f"{{{each}}}" for each in fields)
            raise table.error(key, f"has {{{field}}} in it; only {known} are known")
