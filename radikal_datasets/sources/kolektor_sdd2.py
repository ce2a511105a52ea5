"""KolektorSDD2: strips of an industrial product, clean or with surface defects, with pixel masks.

From published facts, not yet run on real images: 2,331 images for training (246 of them defective) and 1,004 for
testing (110), as several audits of the publisher's archive count them (its own page says 2,335); RGB of 184 to 241 by
597 to 665 pixels in 601 sizes; every image has a mask, empty where it is clean. The archive also holds a second copy of
image 10301 and of its mask.
"""

from __future__ import annotations

from ..annotations.mask_file import MASK_VALUES
from ..building.bases import MaskBuilder
from ..source import DEFAULT_CONFIG, Config, License, NotRead, Source
from ..splits import BY_SHARE, OFFICIAL, RECOMMENDED

__all__ = ["MASK_VALUES", "SOURCE", "KolektorSdd2"]

SOURCE = Source(
    name="kolektor_sdd2",
    title="KolektorSDD2: surface defects of an industrial product",
    homepage="https://www.vicos.si/resources/kolektorsdd2/",
    download_page="https://www.vicos.si/resources/kolektorsdd2/",
    license=License(
        "CC-BY-NC-SA-4.0",
        True,
        "Not for commercial use; may be passed on with attribution and under the same license.",
        spdx=True,
    ),
    citation="""@article{bozic2021mixed,
  title   = {Mixed supervision for surface-defect detection: from weakly to fully supervised learning},
  author  = {Bo{\\v{z}}i{\\v{c}}, Jakob and Tabernik, Domen and Sko{\\v{c}}aj, Danijel},
  journal = {Computers in Industry},
  year    = {2021}
}""",
    configs=(
        Config(
            DEFAULT_CONFIG,
            ("defect",),
            images=3335,
            images_by_class={"defect": 356},
            files=r"(?i:(?:train|test)/[^/]+\.png)",
        ),
    ),
    layout="""KolektorSDD2/
  train/10000.png  train/10000_GT.png ...    2,331 images, each with a mask
  test/20000.png   test/20000_GT.png ...     1,004 images, each with a mask""",
    marker=r"(?i:(?:train|test)/\d+_GT\.png)",
    protocols=(RECOMMENDED, OFFICIAL, BY_SHARE),
    keeps_publisher_test=True,
    modality="camera, color",
    annotations="masks",
    best_use="One product as a plant sees it: one image in nine is defective, with faint and small defects.",
    image_sizes="184 to 241 x 597 to 665 (S)",
    defect_free="2,979 (S)",
    notes=(
        "Layout from published facts, not yet run on real images.",
        "The class is one: the publisher does not say what kind a defect is.",
        "The copies of image 10301 and of its mask in the publisher's archive are known and not read.",
    ),
    layouts={"the publisher's: train and test": r"(?P<split>train|test)/.*"},
    annotation_files={"mask": r"(?:train|test)/.*_GT\.png"},
    not_read=(NotRead("the publisher's weak labels", r"split_weakly_\d+\.pyb"),),
    split_folders="train|test",
    # Strips are photographed in one direction under fixed light.
    augmentations=("flip_horizontal", "flip_vertical", "translate", "brightness", "contrast", "gamma", "noise", "blur"),
)


class KolektorSdd2(MaskBuilder):
    """Reader for `{train,test}/<number>.png` with `<number>_GT.png` beside it, which alone says what is defective."""

    SOURCE = SOURCE
    IMAGE = r"(?P<split>train|test)/(?P<stem>\d+)\.(?i:png)"
    ANNOTATION = r"(?P<split>train|test)/(?P<stem>\d+)_GT\.(?i:png)"
    PAIR = ("split", "stem")
    ID = "{split}/{stem}"
    IGNORED = ((r"(?:train|test)/\d+(?:_GT)? \(copy\)\.(?i:png)", "a second copy in the publisher's archive"),)
