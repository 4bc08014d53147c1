"""Makes SDP answers of all shapes that are in use readable for aiortc.

OpenAI's answer (API reference, "Create call") has the fingerprint at session level, ICE and setup
attributes in the first media section only, and no direction anywhere. That is right: attributes
of a bundled transport belong to the group's first section (RFC 8843, 7.1.3 and 9.2), and no
direction means sendrecv (RFC 8866, 6.7). aiortc 1.16 wants all of them in every section, and
reads a missing direction as none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["normalise_answer", "require_ports"]

TRANSPORT_ATTRIBUTES = ("ice-ufrag", "ice-pwd", "ice-options", "fingerprint", "setup", "candidate")
"""Attributes that a bundled section shares with the first of its group."""

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")

CANDIDATE_PORT = re.compile(r"^a=candidate:(?:\S+ +){5}(\S+)", re.MULTILINE)
MAX_PORT = 65_535


@dataclass
class _Section:
    """The session part, or a media section: its lines, in order."""

    lines: list[str] = field(default_factory=list)

    def attributes(self, name: str) -> list[str]:
        prefix = f"a={name}"
        return [ln for ln in self.lines if ln == prefix or ln.startswith(f"{prefix}:")]

    def has_direction(self) -> bool:
        return any(self.attributes(direction) for direction in DIRECTIONS)


def normalise_answer(answer: str, offer: str) -> str:
    """The same answer with everything said where aiortc looks for it.

    What is said already stays as it is; text that is no SDP comes back unchanged.

    Args:
        answer: The answer, with lines ended by LF or CRLF.
        offer: The offer that it answers; media identifications missing in the answer are taken
            from it, by position (RFC 9429, 5.3.1: the sections correspond).

    Returns:
        SDP with CRLF line ends.
    """
    session, media = _split(answer)
    if not media:
        return answer
    offer_session, offered = _split(offer)
    for index, section in enumerate(media):
        if not section.attributes("mid") and index < len(offered):
            section.lines += offered[index].attributes("mid")
        if not section.has_direction() and not _is_data(section):
            section.lines += _direction(session)
    is_bundled = len(media) > 1 and not any(part.attributes("ice-ufrag") for part in media[1:])
    if is_bundled and not session.attributes("group"):
        session.lines += offer_session.attributes("group")
    for section in media:
        first = _first_of_bundle(session, media, section)
        for name in TRANSPORT_ATTRIBUTES:
            if not section.attributes(name):
                section.lines += first.attributes(name) or session.attributes(name)
    return "\r\n".join(line for part in (session, *media) for line in part.lines) + "\r\n"


def require_ports(sdp: str) -> None:
    """Refuse addresses that there are none of: aioice's socket is lost when it sends to one.

    Raises:
        ValueError: The port of a candidate is no number, or too large.
    """
    for found in CANDIDATE_PORT.finditer(sdp):
        port = found[1]
        if not port.isdecimal() or len(port) > len(str(MAX_PORT)) or int(port) > MAX_PORT:
            raise ValueError(f"a candidate's port is a number up to {MAX_PORT}, not {port[:20]}")


def _split(sdp: str) -> tuple[_Section, list[_Section]]:
    session, media = _Section(), list[_Section]()
    for line in sdp.splitlines():
        if line.startswith("m="):
            media.append(_Section())
        if line.strip():
            (media[-1] if media else session).lines.append(line.rstrip())
    return session, media


def _first_of_bundle(session: _Section, media: list[_Section], section: _Section) -> _Section:
    """The section whose transport this one uses: itself, when it is in no group."""
    mids = {mid: part for part in media for mid in part.attributes("mid")}
    own = section.attributes("mid")
    for group in session.attributes("group"):
        kind, *members = group.removeprefix("a=group:").split() or [""]
        if kind == "BUNDLE" and own and own[0].removeprefix("a=mid:") in members:
            return mids.get(f"a=mid:{members[0]}", section)
    return section


def _direction(session: _Section) -> list[str]:
    said = [ln for direction in DIRECTIONS for ln in session.attributes(direction)]
    return said[:1] or ["a=sendrecv"]


def _is_data(section: _Section) -> bool:
    return section.lines[0].startswith("m=application")
