"""Gears on a turntable: masks of chips and cracks, and a table with the publisher's split and verdict."""

from __future__ import annotations

from collections.abc import Iterator

from radikal_datasets.annotations.mask_file import mask_instances
from radikal_datasets.building.builder import InspectionBuilder
from radikal_datasets.errors import MissingImageError, UnknownClassError
from radikal_datasets.raw.images import image_size
from radikal_datasets.raw.tree import Tree
from radikal_datasets.report import Report
from radikal_datasets.schema import Example
from radikal_datasets.source import DEFAULT_CONFIG, Config, License, Source
from radikal_datasets.splits import BY_SHARE, OFFICIAL, RECOMMENDED

from .verdicts import Verdict, read_verdicts

TABLE = "verdicts.csv"
GOOD = "good"

SOURCE = Source(
    name="gears",
    title="Acme Gears: chips and cracks on sintered gears",
    homepage="https://gears.example",
    download_page="https://gears.example/download",
    license=License("Acme terms", False, "For customers of Acme only; copies must not be passed on."),
    citation="@misc{acme2024gears, title = {Acme Gears}, author = {Acme}, year = {2024}}",
    configs=(
        Config(
            DEFAULT_CONFIG,
            ("chip", "crack"),
            images=400,
            boxes=260,
            images_by_class={"chip": 90, "crack": 60},
            files=r"(?:images|masks)/[^/]+\.png|verdicts\.csv",
        ),
    ),
    layout="""gears/
  images/0000.png ...
  masks/0000.png ...     of the defective ones
  verdicts.csv           image, split (train or test), verdict (good, chip or crack)""",
    marker=r"verdicts\.csv",
    protocols=(RECOMMENDED, OFFICIAL, BY_SHARE),
    keeps_publisher_test=True,
    modality="camera, gray",
    annotations="masks",
    best_use="Trying out a plug-in.",
    notes=("An image whose mask is missing is kept as annotated=False.",),
    augmentations=("rotation", "brightness", "noise"),
)


class Gears(InspectionBuilder):
    """Reader for `images/`, `masks/` and `verdicts.csv`."""

    SOURCE = SOURCE

    def read(self, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        """Read one mask per defective image; see `InspectionBuilder.read`."""
        verdicts = read_verdicts(tree, TABLE)
        masks = {match["stem"]: path for path, match in tree.matching(r"masks/(?P<stem>[^/]+)\.png")}
        tree.accounted_for.update(masks.values())  # one without an image is reported below
        seen = set()
        for path, match in tree.matching(r"images/(?P<stem>[^/]+)\.png"):
            seen.add(match["stem"])
            with report.costs_image():
                yield self.example(tree, path, match["stem"], verdicts.get(match["stem"]), masks, report)
        yield from self.without_image(masks, verdicts, seen, report)

    def example(
        self, tree: Tree, path: str, stem: str, verdict: Verdict | None, masks: dict[str, str], report: Report
    ) -> Example:
        """Return one image with its annotation."""
        example = Example(f"gears/{stem}", path, *image_size(tree, path))
        if verdict is None or (verdict.kind != GOOD and stem not in masks):
            self.unlabel(example, report)
        if verdict is None:
            return example
        example.publisher_split = verdict.split
        if verdict.kind != GOOD and stem in masks:
            if verdict.kind not in SOURCE.config(DEFAULT_CONFIG).classes:
                raise UnknownClassError(TABLE, f"verdict {verdict.kind!r}", "Correct the table.", verdict.line)
            size = example.width, example.height
            example.instances = mask_instances(tree, masks[stem], verdict.kind, *size, report)
        return example

    def unlabel(self, example: Example, report: Report) -> None:
        """Keep an image whose annotation is missing, but not as a defect-free one."""
        report.add("missing_truth", example.image, f"no mask, or no line in {TABLE}")
        example.annotated = False

    def without_image(
        self, masks: dict[str, str], verdicts: dict[str, Verdict], seen: set[str], report: Report
    ) -> Iterator[Example]:
        """Count masks and lines of the table whose image does not exist; yields nothing."""
        for stem in sorted(masks.keys() - seen):
            with report.costs_image():
                raise MissingImageError(masks[stem], f"there is no images/{stem}.png", "Copy the image here.")
        for stem in sorted(verdicts.keys() - seen - masks.keys()):
            with report.costs_image():
                line = verdicts[stem].line
                raise MissingImageError(TABLE, f"there is no images/{stem}.png", "Copy the image here.", line)
        yield from ()
