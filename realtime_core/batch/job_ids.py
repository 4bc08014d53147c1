"""Ids of jobs: they are names of folders, on any system that the results are taken to."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Container

__all__ = ["MAX_ID_BYTES", "folded_id", "id_problem", "unique_id"]

MAX_ID_BYTES = 200
"""File systems take 255 bytes; the rest is for what is put behind."""

FORBIDDEN = frozenset('<>:"/\\|?*')
"""Windows takes none of them, and a slash leads elsewhere on every system."""

RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"]
)
"""Devices of Windows, whatever the suffix (learn.microsoft.com, "Naming Files, Paths")."""


def id_problem(text: str) -> str | None:
    """What is wrong with an id; None when it is safe as the name of a folder."""
    size = len(text.encode(errors="replace"))
    if not text:
        return "the id is empty"
    if size > MAX_ID_BYTES:
        return f"the id {text[:20]!r}… has {size} bytes; at most {MAX_ID_BYTES} fit"
    if harmful := [each for each in text if not _is_harmless(each)]:
        return f"the id {text!r} has {harmful[0]!r} in it, which no file name may have"
    if text[-1] in ". " or text[0] == " ":  # ``.`` and ``..`` among them
        return f"the id {text!r} has a blank at an end, or a dot as its last character"
    if text.partition(".")[0].rstrip().lower() in RESERVED:
        return f"the id {text!r} is the name of a device on Windows"
    return None


def folded_id(text: str) -> str:
    """The same for ids that some file system takes for the same name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def unique_id(name: str, taken: Container[str]) -> str:
    """An id for a file of this name.

    Args:
        name: The file's name without its suffix; may be anything.
        taken: The ids that are in use, as `folded_id` gives them.
    """
    wanted = _made_safe(name)
    candidate, number = wanted, 1
    while folded_id(candidate) in taken:
        number += 1
        candidate = f"{wanted}-{number}"
    return candidate


def _made_safe(name: str) -> str:
    safe = "".join(each if _is_harmless(each) else "_" for each in name).strip(" ").rstrip(". ")
    if safe.partition(".")[0].rstrip().lower() in RESERVED or not safe:
        safe = f"_{safe}"
    room = MAX_ID_BYTES - 10  # for what makes it unique
    if len(safe.encode()) > room:
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
        safe = f"{safe.encode()[: room - 10].decode(errors='ignore')}-{digest}"
    return safe


def _is_harmless(character: str) -> bool:
    return character not in FORBIDDEN and unicodedata.category(character) not in (
        "Cc",  # control
        "Cf",  # invisible, such as what turns the direction of writing
        "Cs",  # half of a character
        "Zl",
        "Zp",
    )
