"""Both framings without a line: pairs of sessions that understand each other, and what a job takes in them."""

from __future__ import annotations

from harness import Report

from paddington import Limits
from paddington.protocol.codec import EnvelopeCodec
from paddington.protocol.crypto import Key, Salt
from paddington.protocol.dense import DenseKeys, DenseSession
from paddington.protocol.envelope import EnvelopeKeys, Mark
from paddington.protocol.replay import InfoMemory
from paddington.protocol.session import Session
from templemeads.jobs.commands import Put, Update, encode
from templemeads.jobs.job import Job

TEXT = "portal.cluster add_user u1234.proj.portal"


def envelope_pair() -> tuple[Session, Session]:
    keys = EnvelopeKeys.derive(Key.generate(), Key.generate(), Salt.generate(), Salt.generate())
    one, other = (
        Session(EnvelopeCodec(keys, Mark.generate()), peer_numbers=True, infos=InfoMemory(1), limits=Limits())
        for _ in range(2)
    )
    return one, other


def dense_pair() -> tuple[DenseSession, DenseSession]:
    secret = (Key.generate(), Key.generate(), Salt.generate(), Salt.generate())
    one, other = (
        DenseSession(DenseKeys.derive(*secret, dialled=dialled), limits=Limits()) for dialled in (True, False)
    )
    return one, other


def add_frame_sizes(report: Report) -> None:
    """Add how large the frames are that carry a job there and back."""
    job = Job.parse(TEXT).pending()
    texts = encode(Put(job)), encode(Update(job.completed("account created")))
    envelope, dense = envelope_pair()[0], dense_pair()[0]
    report.add("a job there and back: JSON", [len(text) for text in texts], "bytes")
    report.add(
        "a job there and back: compatible frames", [len(envelope.seal(text)) for text in texts], "bytes"
    )
    report.add(
        "a job there and back: own frames", [len(dense.seal_some([text])[0]) for text in texts], "bytes"
    )
