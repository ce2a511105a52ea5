"""Text that came from a file or a file's name, made safe to show."""

from __future__ import annotations

import re

# C0 and C1 control characters, DEL, line and paragraph separators, marks that reorder text (bidirectional overrides
# and isolates), and the halves of surrogate pairs with which Python escapes bytes that are not UTF-8.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_UNSAFE_IN_A_PARAGRAPH = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def visible(text: str, *, lines: bool = False) -> str:
    """Return a text in which every control character is replaced by a visible escape such as ``\\x1b``.

    A file name may hold escape sequences that move the cursor, rename the window or hide text; a terminal or a log
    viewer would obey them.

    Args:
        text: a name, or a message that holds names.
        lines: keep line breaks and tabs: for text that is laid out in lines by us.
    """
    return (_UNSAFE_IN_A_PARAGRAPH if lines else _UNSAFE).sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
