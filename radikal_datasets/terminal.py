"""What the commands print on: a console that obeys no file name, and progress bars for long walks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import rich.console
from rich.segment import Segment

from .text import visible

_T = TypeVar("_T")
# Seconds. A step that takes less shows no bar.
_PATIENCE = 0.5


class Console(rich.console.Console):
    """A rich console on which control characters in names and messages are visible and without effect.

    Rich removes five of them (bell, backspace, ...) and passes on the rest, the escape character among them.
    """

    def render(self, *args: Any, **kwargs: Any) -> Iterable[Segment]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As in rich, for one renderable; every text goes through here."""
        for segment in super().render(*args, **kwargs):
            yield segment if segment.control else Segment(visible(segment.text, lines=True), segment.style)


def progress(items: Iterable[_T], what: str, *, unit: str, total: int | None = None) -> Iterable[_T]:
    """Yield the items, and show on stderr how many there were if it takes longer than half a second.

    Args:
        items: any iterable.
        what: is done with them: "reading annotations".
        unit: what one of them is: "image".
        total: how many there will be, if it is known.
    """
    import datasets.utils  # slow to import, and `--help` does not need it

    # `datasets.disable_progress_bars()` switches these off as well.
    return datasets.utils.tqdm(items, desc=what, unit=f" {unit}s", total=total, delay=_PATIENCE, leave=False)
