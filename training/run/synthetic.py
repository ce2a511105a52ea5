"""What `train` falls back on if no data was named and none is found: the demo recipe on synthetic castings."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from radikal_datasets.loading.locations import is_findable
from radikal_datasets.samples import make_sample
from training.run.settings import CONFIGS, RUN_SETTINGS, Settings, command_line, parse

#: In the current directory, unless `--output_dir` says otherwise.
OUTPUT_DIR = "outputs/synthetic_castings"
IMAGES = 400
NOTICE_BEFORE = "No data was named and none was found: this run trains on SYNTHETIC castings, as a demonstration."
NOTICE_AFTER = (
    "The images of this run were SYNTHETIC. For your own: radikal-datasets train RECIPE --data-dir FOLDER "
    "(radikal-datasets train --help)"
)


def falls_back(arguments: list[str], settings: Settings) -> bool:
    """Return whether the user left recipe and data to us, and the default set is nowhere to be found."""
    if arguments and not arguments[0].startswith("--"):
        return False
    named = command_line(arguments)
    if named.keys() & {"dataset_name", "data_dir", "resume_from_checkpoint"}:
        return False
    return settings.data_dir is None and not is_findable(settings.dataset_name)


def synthetic_settings(arguments: list[str]) -> Settings:
    """Write the synthetic images, once, and return the demo recipe's settings for them, with the user's own on top."""
    named = command_line(arguments)
    output = Path(named.get("output_dir") or OUTPUT_DIR)
    tree = output.parent / "synthetic_gdxray"
    tree.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{tree}.lock"):  # all ranks come here
        # The list of traps is written last.
        if not Path(f"{tree}.traps.json").is_file():
            make_sample("gdxray", tree, images=IMAGES, seed=0)
    # An earlier run here was one of these too; a run of real data is never replaced.
    earlier = output / RUN_SETTINGS
    ours = earlier.is_file() and str(tree) in earlier.read_text(encoding="utf-8")
    return parse(
        [
            *(str(CONFIGS / "demo.yaml"), "--dataset_name", "radikal_datasets/gdxray", "--data_dir", str(tree)),
            *("--output_dir", str(output), *(["--overwrite_output_dir", "true"] if ours else []), *arguments),
        ]
    )
