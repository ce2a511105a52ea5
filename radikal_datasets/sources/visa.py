"""VisA: twelve kinds of objects, photographed without anomalies and with known ones, with masks of class numbers.

From published facts, not yet run on real images: the publisher's list split_csv/1cls.csv has 10,821 rows, 9,621 normal
and 1,200 anomalous, all of the form read here; its id2class.py says what the values of masks mean. Its issues tell that
masks look black (the values are low) and that the edges of some hold a few pixels of other values.
"""

from __future__ import annotations

from ..building.bases import CLEAN, Found, MaskBuilder, Shows, SplitList
from ..building.bases.split_list import NOT_IN_SPLIT_LIST
from ..source import Config, License, Source
from ..splits import BY_SHARE, OFFICIAL, RECOMMENDED

__all__ = ["NOT_IN_SPLIT_LIST", "SOURCE", "Visa"]

_ANOMALOUS = 100  # of each object
_PCB = ("bent", "melt", "scratch", "missing")
#: Object -> (normal images, its kinds of anomaly; the first has the value 1 in masks, the second 2, and so on).
_OBJECTS: dict[str, tuple[int, tuple[str, ...]]] = {
    "candle": (
        1000,
        (
            "chunk_of_wax_missing",
            "damaged_corner_of_packaging",
            "weird_candle_wick",
            "different_color_spot",
            "extra_wax",
            "foreign_particles",
            "wax_melted_out",
            "other",
        ),
    ),
    "capsules": (602, ("bubble", "discolor", "scratch", "leak", "misshape")),
    "cashew": (
        500,
        (
            "burnt",
            "corner_or_edge_breakage",
            "different_color_spot",
            "middle_breakage",
            "small_holes",
            "small_scratches",
            "stuck_together",
            "same_color_spot",
            "other",
        ),
    ),
    "chewinggum": (
        503,
        ("chunk_of_gum_missing", "corner_missing", "scratches", "similar_color_spot", "small_cracks", "other"),
    ),
    "fryum": (
        500,
        (
            "burnt",
            "corner_or_edge_breakage",
            "different_color_spot",
            "stuck_together",
            "middle_breakage",
            "similar_color_spot",
            "small_scratches",
            "other",
        ),
    ),
    "macaroni1": (
        1000,
        (
            "chip_around_edge_and_corner",
            "different_color_spot",
            "middle_breakage",
            "similar_color_spot",
            "small_cracks",
            "small_scratches",
            "other",
        ),
    ),
    "macaroni2": (
        1000,
        (
            "breakage_down_the_middle",
            "similar_color_spot",
            "different_color_spot",
            "small_chip_around_edge",
            "small_cracks",
            "small_scratches",
            "other",
        ),
    ),
    "pcb1": (1004, _PCB),
    "pcb2": (1001, _PCB),
    "pcb3": (1006, _PCB),
    "pcb4": (1005, ("burnt", "scratch", "missing", "damage", "extra", "wrong_place", "dirt")),
    "pipe_fryum": (
        500,
        (
            "burnt",
            "corner_and_edge_breakage",
            "different_color_spot",
            "middle_breakage",
            "similar_color_spot",
            "small_scratches",
            "stuck_together",
            "small_cracks",
            "other",
        ),
    ),
}
_LIST = "split_csv/1cls.csv"


def _config(name: str) -> Config:
    normal, kinds = _OBJECTS[name]
    return Config(name, kinds, normal + _ANOMALOUS, files=rf"(?i:{name}/.*|split_csv/.*)")


def _all() -> Config:
    classes = tuple(f"{name}_{kind}" for name, (_, kinds) in _OBJECTS.items() for kind in kinds)
    images = sum(normal + _ANOMALOUS for normal, _ in _OBJECTS.values())
    return Config("all", classes, images, parts=tuple(_OBJECTS))


SOURCE = Source(
    name="visa",
    title="VisA: anomalies of twelve kinds of objects",
    homepage="https://github.com/amazon-science/spot-diff",
    download_page="https://github.com/amazon-science/spot-diff",
    license=License("CC-BY-4.0", True, "May be used and passed on with attribution.", spdx=True),
    citation="""@article{zou2022spot,
  title   = {SPot-the-Difference Self-Supervised Pre-training for Anomaly Detection and Segmentation},
  author  = {Zou, Yang and Jeong, Jongheon and Pemula, Latha and Zhang, Dongqing and Dabeer, Onkar},
  journal = {arXiv preprint arXiv:2207.14315},
  year    = {2022}
}""",
    configs=(*map(_config, _OBJECTS), _all()),
    layout="""VisA/
  candle/
    Data/Images/Normal/0000.JPG ...   Data/Images/Anomaly/000.JPG ...
    Data/Masks/Anomaly/000.png ...    image_anno.csv
  capsules/ ...                       12 objects; any of them may be missing
  split_csv/1cls.csv                  the publisher's split""",
    marker=rf"(?i:(?:{'|'.join(_OBJECTS)})/Data/Images/(?:Normal|Anomaly)/[^/]+\.jpe?g)",
    protocols=(RECOMMENDED, OFFICIAL, BY_SHARE),
    modality="camera, color",
    annotations="masks",
    best_use="Anomaly detection on twelve objects, some of them several to an image; many kinds, few images of each.",
    image_sizes="about 1500x1000 (R)",
    defect_free="9,621 (S)",
    split_notes={RECOMMENDED: "70/15/15 over all images"},
    notes=(
        "Layout from published facts, not yet run on real images.",
        "The publisher's train set has no anomalies: recommended splits all images 70/15/15.",
        "Each 8-connected component of a mask's value is an instance; some masks are reported to hold a few pixels of "
        "other values along an edge.",
    ),
    # Boards and snacks lie alike below a fixed camera. No flips: print on boards and packages would be mirrored.
    layouts={"the publisher's: normal and anomalous by object": r"[^/]+/Data/Images/(?P<split>Normal|Anomaly)/.*"},
    annotation_files={"mask": r"[^/]+/Data/Masks/.*\.png", "list of splits": r"split_csv/1cls\.csv"},
    part_folders="|".join(_OBJECTS),
    augmentations=("rotation", "translate", "brightness", "contrast", "gamma", "noise", "blur"),
)


class Visa(MaskBuilder):
    """Reader for `<object>/Data/Images/{Normal,Anomaly}` with masks of class numbers and the publisher's list."""

    SOURCE = SOURCE
    IMAGE = r"{part}/Data/Images/(?P<kind>Normal|Anomaly)/(?P<stem>[^/]+)\.(?i:jpe?g)"
    ANNOTATION = r"{part}/Data/Masks/(?P<kind>Anomaly)/(?P<stem>[^/]+)\.(?i:png)"
    PAIR = ("kind", "stem")
    ID = "{part}/{kind}/{stem}"
    SPLITS = SplitList(_LIST, part="object")
    IGNORED = (
        (r"{part}/image_anno\.csv", "its kinds of anomaly are those of the masks' values"),
        (r"split_csv/2cls_\w+\.csv", "a split for another task"),
    )

    def shows(self, found: Found) -> Shows:
        """Return the classes of a mask's values for an image in Anomaly, and nothing for one in Normal."""
        if found.named["kind"] == "Normal":
            return CLEAN
        return Shows(dict(enumerate(self.SOURCE.config(found.part).classes, start=1)), defective=True)
