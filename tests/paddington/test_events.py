from paddington.events import Connected, Disconnected, Event, Received
from paddington.peer import Peer


def _describe(event: Event) -> str:
    match event:
        case Connected(peer, engine, version, since):
            return f"{peer} {engine} {version} {since}"
        case Received(peer, text):
            return f"{peer} {text}"
        case Disconnected(peer, reason):
            return f"{peer} {reason}"


def test_events_match_by_position_with_the_peer_first() -> None:
    peer = Peer("portal")
    assert _describe(Connected(peer, "paddington", "1.0", 2.5)) == "portal@default paddington 1.0 2.5"
    assert _describe(Received(peer, "text")) == "portal@default text"
    assert _describe(Disconnected(peer, "gone")) == "portal@default gone"


def test_a_payload_never_shows_in_a_log_of_events() -> None:
    assert "hunter2" not in repr(Received(Peer("portal"), "hunter2"))
    assert "<7 characters>" in repr(Received(Peer("portal"), "hunter2"))
