"""`prepare`: convert a raw tree to a Hub folder with Parquet shards, manifest, card and Croissant file, atomically."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import PIL
import pyarrow as pa
from filelock import FileLock

from .. import splits
from .._version import __version__
from ..building.builder import InspectionBuilder
from ..errors import HubFolderError, LayoutError, OutputError
from ..schema import SCHEMA_VERSION
from ..source import Source
from ..sources import builder_class
from . import shards
from .atomic_folder import Stage, recover_all
from .card import ConfigCard, merge_cards, new_card
from .card_text import CARD_FILENAME, read_card
from .checksum_cache import NotedConfig, Notes, sha256_of
from .croissant import CROISSANT_FILENAME, croissant_text
from .manifest import MANIFEST_FILENAME, Manifest
from .manifest_entries import PREVIEWS, ConfigEntry, FileEntry
from .output_checks import check_apart, check_output
from .previews import preview_sheet
from .shards import MAX_SHARD_BYTES
from .source_facts import facts_entry

logger = logging.getLogger(__name__)

#: Written together with configurations. Where one is missing or was edited, it is written again (the card: merged).
_WRITTEN_WITH_THEM = (CARD_FILENAME, CROISSANT_FILENAME)


def build_hub_folder(
    source: str,
    configs: Sequence[str] | str | None = None,
    *,
    data_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    protocol: str = splits.RECOMMENDED,
    strict: bool = False,
    num_proc: int | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> Path:
    """Convert a raw tree into ``<output_dir>/<config>/<split>-00000-of-00003.parquet``, and write manifest and card.

    All configurations appear together once they are complete, and replace older ones of the same name; others in
    `output_dir` stay, and so does any text that users wrote into the card. Image bytes are the files' own. The same
    input gives the same bytes; existing output that was built from the same files is not built again. Row groups are
    small (about 16 MB), so streaming starts fast. `croissant.json` states the same for other tools. What a killed
    prepare left is undone, or finished, by the next.

    Args:
        source: name of a source.
        configs: names of configurations; None: all that have an image in the tree.
        data_dir: a raw tree, its parent, or its archive.
        output_dir: the folder to write to.
        protocol, strict: as in `load_dataset`.
        num_proc: number of processes that write shards at the same time.
        max_shard_bytes: maximum size of a shard in bytes; a single row may be larger.

    Returns:
        `output_dir`.

    Raises:
        LayoutError: there is no image of a requested configuration, or of any.
        OutputError: `output_dir` overlaps the raw tree, or holds another source or other files.
        HubFolderError: the YAML of the existing card cannot be parsed; nothing was changed.
    """
    output = Path(output_dir)
    wanted = [configs] if isinstance(configs, str) else configs
    builder_type = builder_class(source)
    facts = builder_type.facts_of(data_dir, wanted[0] if wanted else None)
    builders = [
        builder_type(config_name=name, data_dir=data_dir, protocol=protocol, strict=strict)
        for name in dict.fromkeys(wanted or facts.config_names)
    ]
    # In the system's temporary folder: a lock file must not be among the files that are pushed.
    lock = f"radikal-prepare-{hashlib.sha256(str(output.resolve()).encode()).hexdigest()[:16]}.lock"
    for builder in builders:
        check_apart(output, builder)
    with FileLock(Path(tempfile.gettempdir(), lock)):
        there = _Folder.read(output, facts, max_shard_bytes)
        builders = [builder for builder in builders if there.has(builder) or _has_images(builder, wanted is not None)]
        if not builders:
            raise LayoutError(f"{data_dir} holds no image of {source}. The expected layout is:\n{facts.layout}")
        check_output(output, builders)
        output.mkdir(parents=True, exist_ok=True)
        there.update(builders, num_proc)
    return output


def _has_images(builder: InspectionBuilder, wanted: bool) -> bool:
    if builder.index().splits:
        return True
    facts, name, place = builder.facts, builder.config.name, builder.config.data_dir
    if wanted:
        raise LayoutError(f"{place} holds no image of {facts.name}/{name}. The expected layout is:\n{facts.layout}")
    logger.info("%s/%s: skipped, because %s holds no image of it", facts.name, name, place)
    return False


@dataclass
class _Folder:
    """The current state of a Hub folder, which may not exist yet."""

    path: Path
    facts: Source
    max_shard_bytes: int
    manifest: Manifest | None
    manifest_text: str | None
    notes: Notes
    kept: dict[str, ConfigEntry] = field(default_factory=dict)  # already built from the same files, and intact

    @classmethod
    def read(cls, path: Path, facts: Source, max_shard_bytes: int) -> _Folder:
        recover_all(path)
        manifest = text = None
        if (path / MANIFEST_FILENAME).is_file():
            try:
                manifest = Manifest.load(path)
                text = (path / MANIFEST_FILENAME).read_text(encoding="utf-8")
            except HubFolderError as error:
                logger.warning("%s A new one is written, with only the configurations of this call.", error)
        if manifest is not None and manifest.source != facts.name:
            raise OutputError(f"{path} already holds {manifest.source}. Choose a separate folder for {facts.name}.")
        return cls(path, facts, max_shard_bytes, manifest, text, Notes.load(path))

    def fingerprint(self, builder: InspectionBuilder) -> str:
        """Return a hash that changes with any file that is read and with anything else that affects the output."""
        parts = (builder.hash, builder.config.protocol, builder.config.strict, self.max_shard_bytes)
        versions = (__version__, pa.__version__, PIL.__version__, datasets.__version__)
        return hashlib.sha256(repr((*parts, *versions)).encode()).hexdigest()

    def has(self, builder: InspectionBuilder) -> bool:
        """Return whether a configuration was already built from the same files and is intact."""
        name = builder.config.name
        entry, noted = self.manifest and self.manifest.configs.get(name), self.notes.configs.get(name)
        if (
            not entry
            or noted != NotedConfig(self.fingerprint(builder), entry.digest)
            or not self._in_place(name, entry)
        ):
            return False
        self.kept[name] = entry
        return True

    def _in_place(self, name: str, entry: ConfigEntry) -> bool:
        """Return whether exactly the files of an entry exist."""
        there = {f"{name}/{path.name}" for path in self.path.glob(f"{name}/*")}
        return there == {path for path in entry.files if path.startswith(f"{name}/")} and all(
            self.notes.sha256(self.path, path) == file.sha256 for path, file in entry.files.items()
        )

    def update(self, builders: list[InspectionBuilder], num_proc: int | None) -> None:
        """Build what is missing, then put all of it in place together."""
        names = [builder.config.name for builder in builders]
        if self.kept.keys() >= {*names} and all(self.notes.unchanged(self.path, name) for name in _WRITTEN_WITH_THEM):
            self._note(self.kept, builders)
            return
        stage = Stage(self.path)
        try:
            entries = {
                name: self.kept[name] if name in self.kept else self._convert(builder, stage.new, num_proc)
                for name, builder in zip(names, builders, strict=True)
            }
            replaced = [name for name in names if name not in self.kept and not self._in_place(name, entries[name])]
            cards = [
                ConfigCard.of(builder, entries[name], stage.new if name in replaced else self.path)
                for name, builder in zip(names, builders, strict=True)
            ]
            parts = [part for name in replaced for part in (name, f"{PREVIEWS}/{name}.jpg")]
            manifest = Manifest(
                self.facts.name,
                str(builders[0].VERSION),
                SCHEMA_VERSION,
                __version__,
                entries,
                dict(self.facts.decided),
                {
                    builder.config.name: scale.to_list()
                    for builder in builders
                    if (scale := builder.index().gray_scale) is not None
                },
                facts_entry(self.facts),
            ).merged_onto(self.manifest)
            if (new := croissant_text(manifest).encode()) != self._croissant():
                (stage.new / CROISSANT_FILENAME).write_bytes(new)
                parts.append(CROISSANT_FILENAME)
            # If anything is replaced, so is the manifest: as long as it is staged, a commit is incomplete.
            text = manifest.to_json()
            manifest_text = text if parts or text != self.manifest_text else None
            stage.commit(parts, manifest_text, self._new_card(cards))
        finally:
            stage.close()
        self._note(entries, builders)

    def _convert(self, builder: InspectionBuilder, folder: Path, num_proc: int | None) -> ConfigEntry:
        """Write shards and preview below a folder."""
        name, files = builder.config.name, dict[str, FileEntry]()
        (folder / name).mkdir()
        planned = shards.plan(builder, self.max_shard_bytes)
        total = sum(len(shard.examples) for shard in planned)
        with datasets.utils.tqdm(total=total, unit=" images", desc=f"{self.facts.name}/{name}") as bar:
            for shard, file in shards.write(builder, folder / name, planned, num_proc):
                files[f"{name}/{shard.name}"] = file
                bar.update(len(shard.examples))
        if self.facts.license.redistributable and (sheet := preview_sheet(builder, builder.index().gray_scale)):
            path = f"{PREVIEWS}/{name}.jpg"
            (folder / PREVIEWS).mkdir(exist_ok=True)
            (folder / path).write_bytes(sheet)
            files[path] = FileEntry(hashlib.sha256(sheet).hexdigest(), len(sheet))
        return ConfigEntry(builder.config.protocol, files, builder.index().report.counts())

    def _croissant(self) -> bytes | None:
        path = self.path / CROISSANT_FILENAME
        return path.read_bytes() if path.is_file() else None

    def _new_card(self, cards: list[ConfigCard]) -> str | None:
        """Return the text of the card, or None if it is unchanged."""
        path = self.path / CARD_FILENAME
        there, fresh = read_card(path) if path.is_file() else None, new_card(self.facts, cards)
        text = merge_cards(there, fresh, self.facts, [card.name for card in cards], where=(path, "the new card"))
        return text if text != there else None

    def _note(self, entries: dict[str, ConfigEntry], builders: list[InspectionBuilder]) -> None:
        for builder in builders:
            entry = entries[builder.config.name]
            self.notes.configs[builder.config.name] = NotedConfig(self.fingerprint(builder), entry.digest)
            for path, file in entry.files.items():
                if not self.notes.unchanged(self.path, path) or self.notes.files[path].sha256 != file.sha256:
                    self.notes.note(self.path, path, file.sha256)
        for name in _WRITTEN_WITH_THEM:
            self.notes.note(self.path, name, sha256_of(self.path / name))
        self.notes.files = {path: noted for path, noted in self.notes.files.items() if (self.path / path).is_file()}
        self.notes.save(self.path)
