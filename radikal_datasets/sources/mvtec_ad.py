"""MVTec AD: fifteen objects and textures, photographed without defects and with known ones, with pixel masks.

The number of images is the publisher's (3,629 train, 1,725 test). The defect types and their counts are what
independent counts of the complete set agree on; they add up to the publisher's. Measured on parts: masks are 8 bit,
exactly 0 and 255, of the image's size and never empty; one holds up to 3 components; screw, grid and zipper are
gray, the others RGB.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..annotations.mask_file import MASK_VALUES, mask_instances
from ..building.builder import InspectionBuilder
from ..errors import MalformedAnnotationError, MissingImageError, UnknownClassError
from ..raw.images import image_size
from ..raw.tree import Tree
from ..report import Effect, Kind, Report
from ..schema import Example
from ..source import Config, License, Source
from ..splits import BY_SHARE, OFFICIAL, RECOMMENDED

__all__ = ["DEFECT_IN_TRAIN", "MASK_VALUES", "SOURCE", "MvtecAd"]

DEFECT_IN_TRAIN = Kind(
    "defect_in_train",
    Effect.REPAIRED,
    "a defect image in train/, where the publisher has none: treated as test/",
    "images",
)

_GOOD = "good"
#: Category -> (defect-free images, {defect type: images}); a class name is its folder's.
_CATEGORIES: dict[str, tuple[int, dict[str, int]]] = {
    "bottle": (229, {"broken_large": 20, "broken_small": 22, "contamination": 21}),
    "cable": (
        282,
        {
            "bent_wire": 13,
            "cable_swap": 12,
            "combined": 11,
            "cut_inner_insulation": 14,
            "cut_outer_insulation": 10,
            "missing_cable": 12,
            "missing_wire": 10,
            "poke_insulation": 10,
        },
    ),
    "capsule": (242, {"crack": 23, "faulty_imprint": 22, "poke": 21, "scratch": 23, "squeeze": 20}),
    "carpet": (308, {"color": 19, "cut": 17, "hole": 17, "metal_contamination": 17, "thread": 19}),
    "grid": (285, {"bent": 12, "broken": 12, "glue": 11, "metal_contamination": 11, "thread": 11}),
    "hazelnut": (431, {"crack": 18, "cut": 17, "hole": 18, "print": 17}),
    "leather": (277, {"color": 19, "cut": 19, "fold": 17, "glue": 19, "poke": 18}),
    "metal_nut": (242, {"bent": 25, "color": 22, "flip": 23, "scratch": 23}),
    "pill": (
        293,
        {
            "color": 25,
            "combined": 17,
            "contamination": 21,
            "crack": 26,
            "faulty_imprint": 19,
            "pill_type": 9,
            "scratch": 24,
        },
    ),
    "screw": (
        361,
        {"manipulated_front": 24, "scratch_head": 24, "scratch_neck": 25, "thread_side": 23, "thread_top": 23},
    ),
    "tile": (263, {"crack": 17, "glue_strip": 18, "gray_stroke": 16, "oil": 18, "rough": 15}),
    "toothbrush": (72, {"defective": 30}),
    "transistor": (273, {"bent_lead": 10, "cut_lead": 10, "damaged_case": 10, "misplaced": 10}),
    "wood": (266, {"color": 8, "combined": 11, "hole": 10, "liquid": 10, "scratch": 21}),
    "zipper": (
        272,
        {
            "broken_teeth": 19,
            "combined": 16,
            "fabric_border": 17,
            "fabric_interior": 16,
            "rough": 17,
            "split_teeth": 18,
            "squeezed_teeth": 16,
        },
    ),
}


def _config(category: str) -> Config:
    good, defects = _CATEGORIES[category]
    images = good + sum(defects.values())
    return Config(category, tuple(defects), images, images_by_class=defects, files=rf"(?i:{category}/.*)")


def _all() -> Config:
    by_class = {f"{name}_{defect}": n for name, (_, defects) in _CATEGORIES.items() for defect, n in defects.items()}
    images = sum(good + sum(defects.values()) for good, defects in _CATEGORIES.values())
    return Config("all", tuple(by_class), images, images_by_class=by_class, parts=tuple(_CATEGORIES))


SOURCE = Source(
    name="mvtec_ad",
    title="MVTec AD: anomaly detection in objects and textures",
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-ad",
    download_page="https://www.mvtec.com/company/research/datasets/mvtec-ad/downloads",
    license=License(
        "CC-BY-NC-SA-4.0",
        True,
        "Not for commercial use; may be passed on with attribution and under the same license.",
        spdx=True,
    ),
    citation="""@inproceedings{bergmann2019mvtec,
  title     = {{MVTec AD} -- A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection},
  author    = {Bergmann, Paul and Fauser, Michael and Sattlegger, David and Steger, Carsten},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {9584--9592}, year = {2019}
}
@article{bergmann2021mvtec,
  title   = {The {MVTec} Anomaly Detection Dataset:
             A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection},
  author  = {Bergmann, Paul and Batzner, Kilian and Fauser, Michael and Sattlegger, David and Steger, Carsten},
  journal = {International Journal of Computer Vision},
  volume  = {129}, number = {4}, pages = {1038--1059}, year = {2021}
}""",
    configs=(*map(_config, _CATEGORIES), _all()),
    layout="""mvtec_anomaly_detection/
  bottle/
    license.txt  readme.txt
    train/good/000.png ...
    test/good/000.png ...  test/<defect>/000.png ...
    ground_truth/<defect>/000_mask.png ...
  cable/ ...                       15 categories; any of them may be missing""",
    marker=rf"(?i:(?:{'|'.join(_CATEGORIES)})/(?:train|test)/[^/]+/[^/]+\.png)",
    protocols=(RECOMMENDED, OFFICIAL, BY_SHARE),
    modality="camera, color and gray",
    annotations="masks",
    best_use="Many kinds of defect with exact masks, few images of each: one detector per category, or one for all 73.",
    image_sizes="square, 700 to 1024 (S)",  # the paper of 2019
    defect_free="4,096 (S)",
    split_notes={RECOMMENDED: "70/15/15 over all images"},
    notes=(
        "The publisher's train set has no defects: recommended splits all images 70/15/15 by good and defect type.",
        "A defect image without its mask is kept as annotated=False: where its defect is, is unknown.",
        "One mask may hold several defects: each 8-connected component is an instance.",
    ),
    # Parts are positioned alike below a fixed camera, to a few degrees and pixels. No flips: print on capsules and
    # pills would be mirrored, and a transistor in another pose, or a metal nut upside down, is itself a defect.
    augmentations=("rotation", "translate", "brightness", "contrast", "gamma", "noise", "blur"),
    layouts={"the publisher's: train and test by type": r"[^/]+/(?P<split>train|test)/.*"},
    annotation_files={"mask": r"[^/]+/ground_truth/.*\.png"},
    split_folders=r"[^/]+/(?:train|test|ground_truth)",
    part_folders="|".join(_CATEGORIES),
    expected_repairs={"defect_in_train": "some copies mix the sets; type and number name the image and its mask"},
)


class MvtecAd(InspectionBuilder):
    """Reader for `<category>/{train,test}/<type>/*.png` with `<category>/ground_truth/<type>/*_mask.png`."""

    SOURCE = SOURCE

    def read(self, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        """Read one mask per defect image; see `InspectionBuilder.read`."""
        masks = {
            (match["type"].lower(), match["stem"]): path
            for path, match in tree.matching(rf"(?i:{part}/ground_truth/(?P<type>[^/]+)/(?P<stem>[^/]+)_mask\.png)")
        }
        tree.accounted_for.update(masks.values())  # one without an image is reported below
        with_image = set()
        for path, match in tree.matching(rf"(?i:{part}/(?P<split>train|test)/(?P<type>[^/]+)/(?P<stem>[^/]+)\.png)"):
            split, key = match["split"].lower(), (match["type"].lower(), match["stem"])
            # No good image has a mask, and train/good and test/good use the same numbers.
            mask = masks.get(key) if key[0] != _GOOD or split == "test" else None
            with_image.update([key] if mask else [])
            with report.costs_image():
                yield self._example(tree, part, path, split, key, mask, report)
        for key in sorted(masks.keys() - with_image):
            with report.costs_image():
                found = f"the image of this mask does not exist: {'/'.join(key)}"
                raise MissingImageError(masks[key], found, "Get the image, or remove the mask.")

    def _example(
        self, tree: Tree, part: str, path: str, split: str, key: tuple[str, str], mask: str | None, report: Report
    ) -> Example:
        defect, stem = key
        known = SOURCE.config(part).classes
        if defect != _GOOD and defect not in known:
            remedy = f"The folders are {_GOOD}, {', '.join(known)}. Move the image to one of them, or remove it."
            raise UnknownClassError(path, f"folder {defect!r}", remedy)
        if defect != _GOOD and split == "train":
            # Some copies mix the sets; the image keeps the identity under which it was published.
            report.add(DEFECT_IN_TRAIN, path, f"treated as test/{defect}/{stem}")
            split = "test"
        width, height = image_size(tree, path)
        example = Example(
            f"{self.SOURCE.name}/{part}/{split}/{defect}/{stem}", path, width, height, publisher_split=split
        )
        if mask is not None:
            example.instances = mask_instances(tree, mask, defect, width, height, report)
            if bool(example.instances) == (defect == _GOOD):
                found = f"the mask shows {len(example.instances)} defects, but the image is in the folder {defect}"
                raise MalformedAnnotationError(mask, found, "Look at the image: mask and folder disagree.")
        elif defect != _GOOD:
            report.add("missing_truth", path, f"no ground_truth/{defect}/{stem}_mask.png")
            example.annotated = False
        return example
