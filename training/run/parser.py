"""The parser of all command lines in `training/`: takes both spellings of options and names the nearest known one."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from typing import NoReturn

from radikal_datasets import __version__
from radikal_datasets.training_commands import dashed


class Parser(argparse.ArgumentParser):
    """A parser that takes both spellings of an option and names the nearest one for an unknown option."""

    def __init__(self, command: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=f"radikal-datasets {command}",
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,  # --data and the like are misspelled settings, not this parser's own options
        )
        self.add_argument("--version", action="version", version=f"radikal-datasets {__version__}")

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[override]  # no signature fits all overloads
        """Parse in either spelling; what is left over has its option names in dashes."""
        return super().parse_known_args(dashed(sys.argv[1:] if args is None else args), namespace)

    def parse_args(self, args=None, namespace=None):  # type: ignore[override]  # as above
        """Parse, and exit with status 2 at an unknown option, naming the nearest one."""
        known, rest = self.parse_known_args(args, namespace)
        if rest:
            self.refuse(rest)
        return known

    def refuse(self, rest: Sequence[str]) -> NoReturn:
        """Exit with status 2, naming the first of the arguments that are unknown and the nearest option."""
        options = [option for option in self._option_string_actions if option.startswith("--")]
        near = difflib.get_close_matches(rest[0].partition("=")[0], options, n=1, cutoff=0.0)
        self.error(
            f"{rest[0]} is not an option of this command."
            + (f" The nearest is {near[0]}." if rest[0].startswith("-") and near else " --help lists them.")
        )
