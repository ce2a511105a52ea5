"""Parse a card's text: YAML, generated blocks, and the prose between them, which people wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from huggingface_hub.utils import yaml_dump

from ..errors import HubFolderError

CARD_FILENAME = "README.md"

# A block never extends over another's beginning: if someone removed an end marker, prose must not be swallowed.
_BLOCK = re.compile(
    r"<!-- radikal: begin (?P<name>[^\n]+?) -->\n"
    r"(?P<text>(?:(?!<!-- radikal: begin ).)*?)"
    r"<!-- radikal: end (?P=name) -->",
    re.DOTALL,
)
# What the first version of prepare wrote: only these blocks were marked.
_OLD_BLOCK = re.compile(r"<!-- config: (?P<name>\S+) -->\n(?P<text>.*?)<!-- /config -->", re.DOTALL)
_OLD_HEAD = re.compile(
    r"# [^\n]+\n\nConverted by radikal-datasets from the publisher's files; image bytes are unchanged\.\n\n"
    r"```python\n[^`]*```\n\nHomepage: [^\n]*\n\n## Licen[cs]e\n\n[^\n]*\n\n## Notes\n\n(?:- [^\n]*\n)*"
)
_OLD_CITATION = re.compile(r"## Citation\n\n```bibtex\n[^`]*```\n\Z")


class _Loader(yaml.SafeLoader):
    """Read `no` as the Hub does, which follows YAML 1.2: Norwegian, and not false."""


_BOOLEAN = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [resolver for resolver in resolvers if resolver[0] != _BOOLEAN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOLEAN, re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


@dataclass
class Block:
    """Generated text between two markers, and the prose after them."""

    name: str
    text: str
    after: str = ""


@dataclass
class Card:
    """A card: metadata, the prose before the first block, and the blocks with what follows each."""

    metadata: dict[str, Any] = field(default_factory=dict)
    before: str = ""
    blocks: list[Block] = field(default_factory=list)

    def block(self, name: str) -> Block | None:
        """Return the block of that name, if there is one."""
        return next((block for block in self.blocks if block.name == name), None)

    def insert(self, block: Block, order: Sequence[str]) -> None:
        """Insert a block after its nearest predecessor in `order` that exists, otherwise before its nearest successor.

        So blocks that are added in any order end up in the same one, and blocks that someone moved stay where they are.
        """
        places = {there.name: place for place, there in enumerate(self.blocks)}
        rank = order.index(block.name)
        before = [places[name] for name in order[:rank] if name in places]
        after = [places[name] for name in order[rank + 1 :] if name in places]
        self.blocks.insert(before[-1] + 1 if before else after[0] if after else len(self.blocks), block)

    def to_text(self) -> str:
        """Return the card as a file: one blank line between its parts, and one newline at its end."""
        parts = [self.before]
        for block in self.blocks:
            begin, end = f"<!-- radikal: begin {block.name} -->", f"<!-- radikal: end {block.name} -->"
            parts += [f"{begin}\n{block.text}{end}", block.after]
        header = f"---\n{yaml_dump(self.metadata, sort_keys=False).strip()}\n---\n\n" if self.metadata else ""
        return header + "\n\n".join(part for part in parts if part) + "\n"


def parse_card(text: str, where: str | Path) -> Card:
    """Parse a card; `Card.to_text` restores its text. `where` is named in errors.

    Raises:
        HubFolderError: the YAML between the two lines of dashes cannot be parsed, or is not a mapping.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    metadata: Any = None
    if match := REGEX_YAML_BLOCK.match(text):
        first = match[1].count("\n") + 1
        try:
            metadata = yaml.load(match[2], Loader=_Loader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {first + mark.line}" if mark else ""
            raise HubFolderError(
                f"{where}{line}: cannot parse the YAML: {getattr(error, 'problem', None) or error}. "
                "Correct it and try again; nothing was changed."
            ) from None
        if not isinstance(metadata, dict | None):
            raise HubFolderError(
                f"{where}, line {first}: the YAML is not a mapping (`key: value`). Correct it and try again; nothing "
                "was changed."
            )
        text = text[match.end() :]
    card = Card(metadata or {})
    if _OLD_BLOCK.search(text):
        text = _OLD_CITATION.sub("", _OLD_HEAD.sub("", text))
        text = _OLD_BLOCK.sub(
            r"<!-- radikal: begin config \g<name> -->\n\g<text><!-- radikal: end config \g<name> -->", text
        )
    end = 0
    for match in _BLOCK.finditer(text):
        _add_prose(card, text[end : match.start()])
        if card.block(match["name"]) is None:  # a copy of a block is generated text too: it is dropped
            card.blocks.append(Block(match["name"], match["text"]))
        end = match.end()
    _add_prose(card, text[end:])
    return card


def read_card(path: Path) -> str:
    """Return the text of a card.

    Raises:
        HubFolderError: it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise HubFolderError(f"{path} is not UTF-8: {error}. Save it as UTF-8; nothing was changed.") from None


def _add_prose(card: Card, prose: str) -> None:
    prose = prose.strip("\n")
    if not prose.strip():
        return
    if not card.blocks:
        card.before = f"{card.before}\n\n{prose}".strip("\n")
    else:
        card.blocks[-1].after = f"{card.blocks[-1].after}\n\n{prose}".strip("\n")
