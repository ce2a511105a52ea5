"""The command lines of all doors in `training/`, apart from their work: `--help` needs neither torch nor `datasets`.

Options are spelled with dashes and accepted with underscores.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from radikal_datasets import __version__
from training.run.parser import Parser
from training.run.usage import help_text

#: Least confidence of a detection where no operating point was chosen.
DEFAULT_THRESHOLD = 0.3
#: Exit codes of predict: some images could not be read; with --exit-code, a detection in at least one image.
PARTLY, FOUND = 3, 4
#: What a report says of `DEFAULT_THRESHOLD`, where no validation split was there to choose another.
FIXED_THRESHOLD = "no images: the value is fixed"
#: Methods of explanation in the order of pages and tables, and what each is called there.
METHODS = {
    "gradcam": "Grad-CAM",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
    "attention": "cross-attention",
    "d_rise": "D-RISE",
    "integrated_gradients": "integrated gradients",
}
#: Which of the backbone's feature maps the CAM methods read.
LAYERS = ("first", "middle", "last")


def train_parser() -> Parser:
    """`train [RECIPE] [--setting value]...`; settings are parsed by `training.run.settings`."""
    parser = Parser("train", "Train a detector or classifier on one set.", help_text(""))
    parser.add_argument("recipe", nargs="?", help="a YAML file, or the name of a recipe such as neu_det")
    return parser


def score_parser() -> Parser:
    """`score RUN`."""
    description = "Score a saved run on one split. Other --key value pairs override the run's settings."
    parser = Parser("score", description, help_text(""))
    parser.add_argument("run", type=Path, help="output_dir of a training run")
    parser.add_argument("--split", default="test", help="the split to score (default: test)")
    parser.add_argument("--output", type=Path, help="also write the scores as JSON to this file")
    return parser


def predict_parser() -> Parser:
    """`predict MODEL IMAGES...`."""
    parser = Parser("predict", "Find defects in image files with a trained detector.")
    parser.add_argument(
        "model", help="output_dir of a training run, folder of a saved model, ONNX file, or name on the Hub"
    )
    parser.add_argument("images", nargs="*", type=Path, help="folders (searched with all subfolders) and files")
    parser.add_argument(
        "--output",
        type=Path,
        help="folder to write; earlier predictions are replaced (required without --watch, with which it gets the log)",
    )
    parser.add_argument(
        "--watch", type=Path, metavar="FOLDER", help="look at files as they arrive and print one JSON line each"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="with --watch: also write a table")
    parser.add_argument(
        "--stop-after", type=float, metavar="SECONDS", help="with --watch: end after that long without a new file"
    )
    parser.add_argument(
        "--exit-code", action="store_true", help="end with 4 if there is a detection in at least one image"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        help=f"least confidence (default: the operating point stored with the run, else {DEFAULT_THRESHOLD})",
    )
    parser.add_argument("--tile-size", help="edge, or HEIGHT,WIDTH, of tiles; none (default: as in training)")
    parser.add_argument("--tile-overlap", type=float, help="least fraction neighbors share (default: as in training)")
    parser.add_argument("--references", type=Path, help="folder of defect-free templates, for a model of pairs")
    parser.add_argument("--batch-size", type=int, default=8, help="images (or tiles) per batch (default: 8)")
    parser.add_argument("--overlays", choices=("all", "found", "none"), default="all", help="which images are drawn")
    return parser


def serve_parser() -> Parser:
    """`serve-model MODEL`."""
    parser = Parser("serve-model", "Answer images over HTTP with a trained detector: POST /predict, GET /health.")
    parser.add_argument("model", help="output_dir of a training run, folder of a saved model, ONNX file, or Hub name")
    parser.add_argument("--port", type=_port, default=8000, help="0: any free port (default: 8000)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; all but loopback need a token (default: 127.0.0.1)"
    )
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="file with the token that clients must send")
    parser.add_argument(
        "--threshold",
        type=float,
        help=f"least confidence (default: the operating point stored with the run, else {DEFAULT_THRESHOLD})",
    )
    parser.add_argument("--max-mb", type=_positive, default=64, help="most MiB of an image file (default: 64)")
    parser.add_argument(
        "--max-requests", type=_positive, default=8, help="requests at a time; more get status 503 (default: 8)"
    )
    return parser


def explain_parser() -> Parser:
    """`explain RUN`."""
    description = "Explain a saved run's detections. Other --key value pairs override the run's settings."
    parser = Parser("explain", description)
    parser.add_argument("run", type=Path, help="output_dir of a training run")
    parser.add_argument("--split", default="test", help="the split to take images from (default: test)")
    parser.add_argument(
        "--images",
        nargs="+",
        default=["12"],
        metavar="N|ID",
        help="number of images with a detection, spread over the split, or their ids (default: 12)",
    )
    parser.add_argument("--detections", type=_positive, default=3, help="most detections per image, by confidence")
    parser.add_argument("--threshold", type=float, help="least confidence (default: chosen on validation)")
    methods = f"of {', '.join(METHODS)} (default: all)"
    parser.add_argument(
        "--methods", nargs="+", default=list(METHODS), choices=list(METHODS), metavar="METHOD", help=methods
    )
    parser.add_argument("--output", type=Path, help="folder to write (default: RUN/explanations)")
    parser.add_argument("--layer", default="middle", choices=LAYERS, help="feature map that the CAM methods read")
    parser.add_argument("--masks", type=_positive, default=256, help="masks of D-RISE per image")
    parser.add_argument("--gradient-steps", type=_positive, default=32, help="steps of integrated gradients")
    parser.add_argument(
        "--curve-steps",
        type=_count,
        default=10,
        help="points of the deletion and insertion curves, which take the longest; 0: none",
    )
    parser.add_argument("--batch-size", "--batch", type=_positive, default=16, help="changed images per batch")
    parser.add_argument(
        "--redrawn-images", type=_count, default=2, help="images compared with re-initialized weights; 0: none"
    )
    parser.add_argument("--random-seed", type=int, default=0, help="of masks, random maps and re-initialized weights")
    return parser


def export_parser() -> Parser:
    """`export-model MODEL`."""
    description = "Write a detector as one ONNX file with pre- and post-processing inside, checked against torch."
    parser = Parser("export-model", description)
    parser.add_argument("model", help="output_dir of a training run, or the folder of a saved model")
    parser.add_argument("--output", type=Path, required=True, help="file to write, model.onnx")
    parser.add_argument("--opset", type=int, help="version of ONNX's operators, at least 18 (default: torch's choice)")
    parser.add_argument("--check-images", type=Path, help="folder of images to compare on (default: synthetic ones)")
    return parser


def push_parser() -> Parser:
    """`push-model RUN`."""
    parser = Parser("push-model", "Push a run's best model, with a card, to the Hub that HF_ENDPOINT names; private.")
    parser.add_argument("run", type=Path, help="output_dir of a training run")
    parser.add_argument("--repo-id", required=True, help="NAMESPACE/NAME")
    parser.add_argument("--endpoint", help="the Hub (default: HF_ENDPOINT); required to push to huggingface.co")
    parser.add_argument("--public", action="store_true", help="make a new repository public")
    return parser


def demo_parser() -> Parser:
    """`demo`."""
    description = (
        "Run the complete workflow on synthetic images: sample, verify, prepare, look, train, explain. Other "
        "--key value pairs are settings of the training."
    )
    parser = Parser("demo", description)
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="folder to write (default: demo)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--quick", action="store_true", help="few images and steps: shows that everything works")
    how.add_argument("--light", action="store_true", help="everything but training; needs no extra to be installed")
    return parser


#: Command of `radikal-datasets` -> its parser. The door is `training/<command>.py`, see `radikal_datasets.cli`.
PARSERS: dict[str, Callable[[], Parser]] = {
    "train": train_parser,
    "score": score_parser,
    "predict": predict_parser,
    "serve-model": serve_parser,
    "explain": explain_parser,
    "export-model": export_parser,
    "push-model": push_parser,
    "demo": demo_parser,
}
#: Extra -> a module that it installs.
_MODULES = {"train": "torch", "explain": "pytorch_grad_cam", "predict": "onnxruntime", "hub": "starlette"}


def exit_early(command: str, arguments: Sequence[str] | None = None) -> None:
    """Exit for `--help`, `--version` or a missing extra, before anything heavy is imported; otherwise return."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(arguments):
        PARSERS[command]().print_help()
        sys.exit(0)
    if "--version" in arguments:
        print(f"radikal-datasets {__version__}")
        sys.exit(0)
    light = command == "demo" and "--light" in arguments
    extras = () if light else ("train", "explain") if command == "explain" else ("train",)
    if command in ("predict", "serve-model") and any(one.endswith(".onnx") for one in arguments):
        extras = ("predict",)
    if command == "serve-model":
        extras = (*extras, "hub")
    for extra in extras:
        if importlib.util.find_spec(_MODULES[extra]) is None:
            print(
                f"error: {command} needs packages that are not installed ({_MODULES[extra]}). Install them: "
                f"pip install 'radikal-datasets[{extra}]'",
                file=sys.stderr,
            )
            sys.exit(2)


def _positive(text: str) -> int:
    if _count(text) == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def _port(text: str) -> int:
    if _count(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least 0")
    return int(text)
