"""Scripts: what happens in a world, drawn by Hypothesis so that what fails shrinks to what matters."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import attrs
import trio
import trio.testing
from hypothesis import strategies as st

from .world import LONG, Work, World, row

STEPS_AT_ONCE = 40
MAX_STEPS = 150_000
"""Steps of all tasks in one script; an ordinary one takes some thousands."""


class Unrest(trio.abc.Instrument):
    """Ends a world that does not come to rest: under a mock clock, tasks that wake each other for ever stop time."""

    def __init__(self) -> None:
        self.steps = 0
        self.names: list[str] = []
        self._scope: trio.CancelScope | None = None
        self._token: trio.lowlevel.TrioToken | None = None

    def watch(self, scope: trio.CancelScope) -> None:
        self._scope = scope
        self._token = trio.lowlevel.current_trio_token()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            if self.steps == MAX_STEPS + 1 and self._token is not None and self._scope is not None:
                self._token.run_sync_soon(self._scope.cancel)
            if len(self.names) < 50:
                self.names.append(task.name)


@attrs.frozen
class Event:
    """Something that happens.

    Attributes:
        what: Which method of `Script` does it.
        who: Index of an agent, or of the line between that one and the next.
        number: Whatever else it needs.
        steps: How many steps the tasks take before it.
        seconds: How much time passes before these.
    """

    what: str
    who: int = 0
    number: int = 0
    steps: int = 0
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class Script:
    """A world and what happens in it.

    Attributes:
        size: How many agents.
        seed: For delays.
        works: What handlers do, by user.
        slow_line: Seconds that a text takes at most.
        slow_disk: Seconds that a commit takes at most.
        handshakes: Whether lines are those of paddington, with the whole of its handshake.
        late: Index of an agent whose clock is wrong, and by how many seconds.
        lifetime: Seconds of each job.
        events: What happens.
    """

    events: tuple[Event, ...]
    size: int = 2
    seed: int = 0
    works: tuple[Work, ...] = (Work(),)
    slow_line: float = 0.05
    slow_disk: float = 0.02
    late: tuple[int, float] = (0, 0.0)
    lifetime: float = LONG
    handshakes: bool = False

    def run(self) -> World:
        """Play it from the beginning to a quiet end; raises AssertionError where a promise was broken."""
        unrest = Unrest()
        clock = trio.testing.MockClock(autojump_threshold=0)
        world = trio.run(self._play, unrest, clock=clock, instruments=[unrest])
        assert world is not None, f"the world does not come to rest: {sorted(set(unrest.names))}"
        return world

    async def _play(self, unrest: Unrest) -> World | None:
        with trio.CancelScope() as scope:
            unrest.watch(scope)
            return await self._play_through()
        return None

    async def _play_through(self) -> World:
        configs = row(self.size)
        names = tuple(configs)
        async with trio.open_nursery() as nursery:
            world = World(
                nursery,
                Random(self.seed),
                names=names,
                configs=configs,
                works=self.works,
                slow_line=self.slow_line,
                slow_disk=self.slow_disk,
                handshakes=self.handshakes,
                skew={names[self.late[0] % self.size]: self.late[1]},
            )
            for name in names:
                world.start(name)
            for event in self.events:
                if event.seconds:
                    await trio.sleep(event.seconds)
                for _ in range(event.steps):
                    await trio.lowlevel.checkpoint()
                self._happen(world, event)
                world.check()
            await world.settle()
            nursery.cancel_scope.cancel()
        return world

    def _happen(self, world: World, event: Event) -> None:
        names = world.names
        name = names[event.who % self.size]
        pairs = list(pairwise(names))
        left, right = pairs[event.who % len(pairs)]
        pair = frozenset((left, right))
        match event.what:
            case "put":
                world.put(names[0], names[-1], event.number, self.lifetime)
            case "put elsewhere":
                other = names[(event.who + 1 + event.number) % self.size]
                if other != name:
                    world.put(name, other, event.number, self.lifetime)
            case "put again":
                world.put_again(event.number)
            case "delete":
                world.delete(event.number)
            case "cut":
                world.wires.cut(pair, late=event.number % 2 == 1)
            case "block":
                world.wires.block(pair)
            case "unblock":
                world.wires.unblock(pair)
            case "freeze":
                world.nursery.start_soon(world.wires.freeze, pair)
            case "repeat":
                sender, receiver = (left, right) if event.number % 2 else (right, left)
                world.wires.repeat(sender, receiver, event.number // 2)
            case "crash":
                world.crash(name)
                world.start(name)
            case "crash all":
                for each in names:
                    world.crash(each)
                    world.start(each)
            case "down":
                world.crash(name)
            case "up":
                world.start(name)
            case "stop":
                world.stop(name)
            case "soft restart":
                world.soft_restart(name)
            case "fail disk":
                world.fail_disk(name)
            case "copy disk":
                world.disks[name].remember()
            case "set back":
                world.set_back(name, event.number)
            case _:
                raise ValueError(event.what)


KINDS = (
    "put", "put elsewhere", "put again", "delete", "cut", "block", "unblock", "freeze", "repeat", "crash", "crash all",
    "down", "up", "stop", "soft restart", "fail disk", "copy disk", "set back",
)  # fmt: skip
OFTEN = ("put", "put", "put", "put elsewhere", "cut", "crash")
SELDOM = (
    "put again",
    "delete",
    "block",
    "unblock",
    "freeze",
    "repeat",
    "crash all",
    "down",
    "up",
    "stop",
    "fail disk",
)
RARELY = ("copy disk", "set back")

WORKS = st.builds(
    Work,
    seconds=st.sampled_from([0.0, 0.05, 1.0, 20.0]),
    reports=st.sampled_from([0, 0, 1, 5]),
    ending=st.sampled_from(["value", "value", "error", "raise"]),
    cleanup=st.sampled_from([0.0, 0.0, 1.0, 5.0]),
)


def events(*kinds: str) -> st.SearchStrategy[Event]:
    """Draw one event."""
    return st.builds(
        Event,
        st.sampled_from(kinds),
        st.integers(0, 3),
        st.integers(0, 7),
        st.sampled_from([0, 1, 2, 3, 5, 8, 13, 21, STEPS_AT_ONCE]),
        st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.1, 1.0, 15.0]),
    )


def scripts(
    *,
    most: int = 25,
    size: st.SearchStrategy[int] | None = None,
    kinds: tuple[str, ...] = (*OFTEN, *OFTEN, *SELDOM),
    late: st.SearchStrategy[tuple[int, float]] | None = None,
    lifetime: st.SearchStrategy[float] | None = None,
    handshakes: bool = False,
) -> st.SearchStrategy[Script]:
    """Draw a script."""
    return st.builds(
        Script,
        events=st.lists(events(*kinds), min_size=1, max_size=most).map(tuple),
        size=st.integers(2, 4) if size is None else size,
        seed=st.integers(0, 2**16),
        works=st.lists(WORKS, min_size=1, max_size=4).map(tuple),
        slow_line=st.sampled_from([0.0, 0.01, 0.3]),
        slow_disk=st.sampled_from([0.0, 0.01, 0.5]),
        late=st.just((0, 0.0)) if late is None else late,
        lifetime=st.just(LONG) if lifetime is None else lifetime,
        handshakes=st.just(handshakes),
    )
