"""Copy a raw DeepPCB tree with its binarized images as 1-bit PNG, under the same names.

    python benchmarks/gpu/one_bit.py SOURCE DESTINATION

DeepPCB's images are black and white; JPEG adds faint noise, which this removes, so figures from such a copy are marked
as not from the frozen splits.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from PIL import Image


def copy(source: Path, destination: Path) -> int:
    """Write the tree `destination`; return the number of images."""
    count = 0
    for file in sorted(path for path in source.rglob("*") if path.is_file() and ".git" not in path.parts):
        target = destination / file.relative_to(source)
        if file.suffix == ".jpg":
            target.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(file) as image:
                image.convert("L").point(lambda value: 255 * (value >= 128)).convert("1").save(target, "PNG")
            count += 1
        elif file.suffix == ".txt":
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    return count


if __name__ == "__main__":
    print(f"{copy(Path(sys.argv[1]), Path(sys.argv[2]))} images as 1-bit PNG")
