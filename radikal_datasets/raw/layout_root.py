"""Find the folder in which a source's layout begins, below or at what the user gave."""

from __future__ import annotations

import os
import re

from ..errors import LayoutError
from .tree import Tree, layout_roots


def open_layout(
    data_dir: str | os.PathLike[str],
    name: str,
    marker: str,
    layout: str,
    part_folders: str = "",
    *,
    several: bool = False,
) -> Tree:
    """Open the raw tree at a folder, anywhere below it, or inside an archive.

    The folder of one part (a category, a group) may be given itself, and several parts may lie in folders of
    their own.

    Args:
        data_dir: what the user gave.
        name: of the source, for messages.
        marker: see `tree.layout_roots`.
        layout: a drawing of it, for messages.
        part_folders: regular expression over the names of folders that may be given alone.
        several: whether the source has several parts, which may lie apart.

    Raises:
        SourceNotFoundError: the path does not exist.
        LayoutError: it does not hold this source's layout, or holds it more than once.
    """
    tree = Tree.open(data_dir)
    roots = layout_roots(tree, marker)
    folder = tree.folder_name
    if not roots and part_folders and re.fullmatch(part_folders, folder, re.IGNORECASE):
        part = tree.moved({path: f"{folder}/{path}" for path in tree.files})
        if "" in layout_roots(part, marker):
            return part
    if not roots:
        some = ", ".join(list(tree.files)[:3]) or "nothing"
        if "manifest.json" in tree.files:
            raise LayoutError(
                f"{data_dir} was written by prepare. Load it, push it, or give the raw tree it was built from."
            )
        links = "".join(f"\nNot followed: {unsafe}" for unsafe in tree.unsafe[:3])
        raise LayoutError(
            f"{data_dir} holds {len(tree.files):,} files, none in the layout of {name} (found {some} ...). "
            f"The expected layout is:\n{layout}\n"
            f"Give the folder that holds it, its parent, or the archive.{links}"
        )
    if len(roots) > 1 and several and (joined := _joined(tree, roots, marker)) is not None:
        return joined
    if len(roots) > 1:
        found = ", ".join(root or "the folder itself" for root in roots)
        raise LayoutError(f"{data_dir} holds {name} more than once: {found}. Give only one of them.")
    return tree.below(roots[0])


def _joined(tree: Tree, roots: list[str], marker: str) -> Tree | None:
    """Return one tree of parts that lie in folders of their own, None if two folders hold the same part."""
    owner: dict[str, str] = {}
    paths: dict[str, str] = {}
    for root in roots:
        inner = [other for other in roots if other != root and other.startswith(root)]
        own = [p for p in tree.files if p.startswith(root) and not any(p.startswith(other) for other in inner)]
        below = {path.removeprefix(root): path for path in own}
        parts = {path.partition("/")[0].lower() for path in below if re.fullmatch(marker, path)}
        if any(owner.setdefault(part, root) != root for part in parts):
            return None
        paths = below | paths
    return tree.moved({path: below_root for below_root, path in paths.items()})
