"""A bridge without a network: calls that answer at once, or fail as they are told."""

from __future__ import annotations

import attrs
import trio

from templemeads.grammar import Notification
from templemeads.jobs.job import Job
from templemeads.roles.bridge.calls import ConflictError, NotThereError
from templemeads.roles.bridge.event_log import EventLog
from templemeads.roles.bridge.notices import Notices
from templemeads.roles.bridge.web_board import WebBoard
from tests.templemeads.roles.bridge.test_authentication import NOW


class Portal:
    name = "waldur"


class FakeAgent:
    name = "bridge"

    def now(self):
        return NOW


class FakeCalls:
    """The calls of a bridge whose portal agent answers at once.

    Attributes:
        failure: What every call raises that needs the portal agent, if anything.
        is_quick: Whether a job has ended by the time that somebody waits for it.

    """

    def __init__(self):
        self.agent = FakeAgent()
        self.board = WebBoard(max_jobs=10)
        self.notices = Notices(max_notices=10)
        self.failure = None
        self.put = {}
        self.is_quick = True

    async def portal(self):
        if self.failure is not None:
            raise self.failure
        return Portal()

    async def run(self, text):
        job = Job.parse(text, now=NOW).pending(NOW)
        await self.portal()
        self.put[job.id] = job
        return job

    async def run_once(self, text, job_id):
        job = attrs.evolve(Job.parse(text, now=NOW).pending(NOW), id=job_id)
        await self.portal()
        there = self.put.setdefault(job_id, job)
        if there.command != job.command:
            raise ConflictError("another command")
        return there, there is job

    async def status(self, job_id):
        if job_id not in self.put:
            raise NotThereError(f"There is no job {job_id}")
        return self.put[job_id]

    def jobs(self):
        return list(self.put.values())

    async def wait(self, job):
        if not self.is_quick:
            await trio.sleep_forever()
        self.put[job.id] = job.completed("done", now=NOW)
        return self.put[job.id]

    async def delete(self, job_id):
        await self.status(job_id)
        del self.put[job_id]

    async def offerings(self, keyword, entries=None):
        await self.portal()
        return list(entries or [])

    async def health(self):
        await self.portal()
        return {"name": "bridge"}

    async def diagnostics(self, path):
        await self.portal()
        return {"agent_name": path}

    async def restart(self, path, restart_type):
        await self.portal()

    async def notify(self, text):
        Notification.parse(text)
        await self.portal()

    def waiting(self):
        return self.board.waiting(NOW)

    def fetch(self, job_id):
        found = self.board.find(job_id, NOW)
        if found is None:
            raise NotThereError(f"No job {job_id}")
        return found

    async def answer(self, job):
        return self.board.answer(job)


class FakeFeed:
    """A feed that has ended: a stream over it gives what there is, and ends."""

    def __init__(self):
        self.log = EventLog("life")
        self.is_closing = True

    async def wait_changed(self):
        raise AssertionError("the feed has ended: nothing is waited for")
