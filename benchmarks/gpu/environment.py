"""Record the machine and its packages, and fail if a version is outside the tested range.

python benchmarks/gpu/environment.py --output FILE
"""

from __future__ import annotations

import argparse
import importlib.metadata
import subprocess
import sys
from pathlib import Path

from packaging.version import Version

#: Package -> (lowest, first that is too new). The suite was run with the releases at both ends; see docs/benchmark.md.
PROVEN = {
    "torch": ("2.11", "2.15"),
    "torchvision": ("0.26", "0.30"),
    "transformers": ("5.17", "5.25"),
    "accelerate": ("1.12", "2"),
    "huggingface_hub": ("1.33", "2.5"),
    "datasets": ("5.2", "5.3"),
    "faster-coco-eval": ("1.7", "2"),
    "simplejpeg": ("1.8", "2"),
    "evaluate": ("0.4.6", "0.5"),
    "timm": ("1.0.20", "2"),
    "pyarrow": ("21", "27"),
    "numpy": ("2", "3"),
}


def problems() -> list[str]:
    """Return one line per package that is missing or outside its range."""
    found = []
    for name, (low, high) in PROVEN.items():
        try:
            version = Version(importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} is not installed; {low} or newer is required")
            continue
        if not Version(low) <= Version(version.public) < Version(high):
            found.append(f"{name} is {version}; tested are {low} up to, not including, {high}")
    return found


def gpu_lines() -> list[str]:
    """Return what nvidia-smi and torch say about the GPU."""
    import torch

    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    lines = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    return [*lines, f"torch sees {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--no-gpu", action="store_true", help="run on a machine without a GPU, for the smoke run")
    options = parser.parse_args()
    packages = sorted(f"{d.name}=={d.version}" for d in importlib.metadata.distributions())
    lines = [f"Python {sys.version}", *(["no GPU"] if options.no_gpu else gpu_lines()), "", *packages]
    options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines[:4]))
    found = problems()
    for line in found:
        print(f"error: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
