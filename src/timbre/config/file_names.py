"""File names made from names that people gave, in any script."""

from __future__ import annotations

import re
import unicodedata

MAX_NAME_BYTES = 200  # leaves room for a number and a suffix in the 255 of usual file systems

_JOINERS = "\u200c\u200d"  # invisible, but letters of some scripts need them
_FORBIDDEN = re.compile(r'[<>:"/\\|?*]')  # on one of the usual systems
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices on Windows


def safe_name(text: str, fallback: str) -> str:
    """Return `text` as a file name without suffix that is valid everywhere and stays in its folder.

    It is in the Unicode form NFC and at most 200 bytes of UTF-8; what cannot stand in a file name becomes an
    underscore. `fallback` is for a text of which nothing is left.
    """
    text = " ".join(unicodedata.normalize("NFC", text).split())
    text = "".join(
        "_" if unicodedata.category(char).startswith("C") and char not in _JOINERS else char
        for char in _FORBIDDEN.sub("_", text)
    )
    text = text.strip(". ").encode()[:MAX_NAME_BYTES].decode(errors="ignore").rstrip(". ")
    if _RESERVED.fullmatch(text):
        text = f"_{text}"
    return text or fallback
