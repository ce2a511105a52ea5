"""The settings of a run, one field each, and the values that they may have."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any

from radikal_datasets.errors import SettingsError

_CHOICES = {
    "task": ("detection", "classification"),
    "target": ("defect", "class"),
    "combine_labels": ("union", "source", "defect"),
    "channels": ("auto", "gray", "rgb", "pair"),
    "resize": ("exact", "fast"),
    "lr_scheduler_type": ("cosine", "flat_cosine"),
    "mixed_precision": ("auto", "no", "fp16", "bf16"),
}


@dataclass
class Settings:
    """All settings, named as in transformers' scripts where those have them; `--help` prints the descriptions."""

    # Data: the arguments of radikal_datasets.load_dataset.
    dataset_name: Annotated[str, "radikal_datasets/SOURCE, a folder of Parquet files, or a Hub repository"]
    dataset_config_name: Annotated[str | None, "configuration of the dataset, if it has several"] = None
    data_dir: Annotated[str | None, "folder with the publisher's files, if dataset_name is a built-in source"] = None
    protocol: Annotated[str | None, "split protocol: recommended (null), official or 70-15-15"] = None
    combine_with: Annotated[
        list[Any] | None, "additional datasets to train on: names, or mappings of load_dataset's arguments"
    ] = None
    combine_labels: Annotated[
        str, "classes of combined datasets: union, source or defect (see radikal_datasets.combine)"
    ] = "union"
    # Model.
    task: Annotated[str, "detection or classification"] = "detection"
    target: Annotated[str, "what a classifier predicts: defect (or not), or class (of the defect)"] = "defect"
    model_type: Annotated[
        str, "detr, conditional_detr, deformable_detr, dab_detr, rt_detr, rt_detr_v2, d_fine, deimv2 or dense"
    ] = "rt_detr_v2"
    model_size: Annotated[str, "nano, small, medium or large"] = "small"
    backbone: Annotated[
        str | None, "timm model (strides 8, 16 and 32; dense: 4 to 32; or a plain ViT); null: set by model_size"
    ] = None
    backbone_weights: Annotated[
        str | None, "weights file (or package:NAME) for the backbone; null: random initialization"
    ] = None
    model_name_or_path: Annotated[
        str | None, "folder or Hub id of a model to start from; its head is re-initialized"
    ] = None
    num_queries: Annotated[int | None, "maximum number of boxes per image; null: set by model_size"] = None
    num_denoising: Annotated[int | None, "number of denoising queries in training; null: set by model_size"] = None
    decoder_layers: Annotated[int | None, "number of decoder layers; null: set by model_size"] = None
    feature_strides: Annotated[
        list[int] | None, "strides of a dense detector's feature maps, finest first; null: 4, 8, 16 and 32"
    ] = None
    # Images.
    image_size: Annotated[
        int | list[int],
        "edge length, or [height, width], in pixels; images are resized to it without keeping their aspect ratio",
    ] = 640
    channels: Annotated[str, "auto, gray, rgb, or pair: image, template and their difference as the three channels"] = (
        "auto"
    )
    resize: Annotated[str, "exact: as the saved image processor resizes; or fast"] = "exact"
    tile_size: Annotated[
        int | list[int] | None,
        "edge length, or [height, width], in pixels of the tiles that images are split into; null: no tiling",
    ] = None
    tile_overlap: Annotated[float, "minimum overlap of neighboring tiles, as a fraction of a tile"] = 0.2
    tile_jitter: Annotated[
        float, "maximum shift of a training tile, as a fraction of it, another one in each epoch"
    ] = 0.0
    empty_tiles: Annotated[float, "fraction of the tiles without a defect to use in each epoch"] = 0.1
    augment: Annotated[bool, "false: train on unmodified images"] = True
    flip_horizontal: Annotated[float, "probability of a flip, 0 to 1"] = 0.5
    flip_vertical: Annotated[float, "probability of a flip, 0 to 1"] = 0.5
    turn: Annotated[float, "probability of a turn by 90, 180 or 270 degrees, 0 to 1"] = 0.0
    rotation: Annotated[float, "maximum additional rotation, in degrees"] = 0.0
    translate: Annotated[float, "maximum shift, as a fraction of the image"] = 0.0
    scale_jitter: Annotated[float, "maximum zoom in or out, as a fraction"] = 0.3
    shear: Annotated[float, "maximum lean of vertical lines, in degrees"] = 0.0
    brightness: Annotated[float, "maximum change of brightness, as a fraction"] = 0.2
    contrast: Annotated[float, "maximum change of contrast, as a fraction"] = 0.2
    gamma: Annotated[float, "maximum change of gamma, as a fraction"] = 0.0
    noise: Annotated[float, "maximum standard deviation of the noise, as a fraction of white"] = 0.02
    blur: Annotated[float, "maximum standard deviation of the blur, in pixels"] = 0.0
    mosaic: Annotated[float, "probability of a mosaic of four images, 0 to 1"] = 0.0
    erase: Annotated[float, "probability of an erased rectangle, 0 to 1"] = 0.0
    copy_paste: Annotated[
        float, "probability of pasting defects from another image, 0 to 1; the dataset must have masks"
    ] = 0.0
    flaws: Annotated[
        float, "probability of drawing soft bright blobs, as voids look in an X-ray, 0 to 1; sets with one class"
    ] = 0.0
    min_visible: Annotated[float, "a box of which less than this fraction is left is removed"] = 0.25
    plain_epochs: Annotated[float, "number of final epochs without mosaic, copy_paste and erase"] = 0
    multi_scale: Annotated[float, "maximum change of the image size from step to step, as a fraction; 0: none"] = 0.0
    dataloader_num_workers: Annotated[int, "number of threads that decode images; 0: one per core"] = 0
    num_threads: Annotated[
        int | None, "number of compute threads on a CPU; null: all cores, divided among the processes"
    ] = None
    # Optimization. Steps are optimizer steps.
    num_train_epochs: Annotated[float, "number of passes over the training images"] = 50
    max_train_steps: Annotated[int | None, "number of optimizer steps; overrides num_train_epochs"] = None
    per_device_train_batch_size: Annotated[int, "images per batch, on each device"] = 8
    per_device_eval_batch_size: Annotated[int | None, "images per batch for evaluation; null: as for training"] = None
    gradient_accumulation_steps: Annotated[int, "batches per optimizer step"] = 1
    learning_rate: Annotated[float, "peak learning rate of AdamW"] = 2e-4
    backbone_learning_rate: Annotated[float | None, "peak learning rate of the backbone; null: learning_rate"] = None
    weight_decay: Annotated[float, "weight decay of AdamW, for weights with more than one dimension"] = 1e-4
    lr_scheduler_type: Annotated[str, "cosine, or flat_cosine: constant for half of the steps, then cosine"] = "cosine"
    warmup_steps: Annotated[int, "number of steps of linear learning-rate warmup"] = 500
    max_grad_norm: Annotated[float, "maximum gradient norm (gradients are clipped to it)"] = 0.1
    ema_decay: Annotated[
        float, "decay of the moving average of the weights, which is evaluated and saved; 0: no averaging"
    ] = 0.999
    head_first_epochs: Annotated[
        float, "epochs that train neck and head on cached maps of the frozen backbone before all else; dense only"
    ] = 0
    head_first_views: Annotated[int, "augmented views of each image whose maps are cached"] = 2
    feature_cache_gib: Annotated[float, "most disk space that all caches of feature maps may take, in GiB"] = 8
    freeze_batch_norms: Annotated[
        bool, "keep the statistics and weights of batch norms fixed, for very small batches"
    ] = False
    mixed_precision: Annotated[str, "auto (fp16 on CUDA, else no), no, fp16 or bf16"] = "auto"
    max_nonfinite_steps: Annotated[
        int, "stop after this many non-finite steps in a row; fp16 may need 20 to find its loss scale"
    ] = 30
    seed: Annotated[int, "random seed for weights, order and augmentation"] = 0
    # Output.
    output_dir: Annotated[str, "folder for everything the run writes"] = "outputs/run"
    overwrite_output_dir: Annotated[bool, "true: replace an existing run"] = False
    eval_steps: Annotated[int | None, "evaluate on validation every this many steps; null: every epoch"] = None
    checkpointing_steps: Annotated[int | None, "save a checkpoint every this many steps; null: every epoch"] = None
    early_stopping_patience: Annotated[
        int | None, "stop after this many validation scores in a row without improvement; null: never"
    ] = None
    checkpoints_total_limit: Annotated[int, "number of checkpoints to keep"] = 2
    resume_from_checkpoint: Annotated[str | None, "latest, or a checkpoint-* folder"] = None
    draw_curves: Annotated[bool, "false: do not plot the confusion matrix and the curves at the end"] = True
    report_to: Annotated[str, "tensorboard, none, or another tracker supported by accelerate"] = "tensorboard"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            setattr(self, field.name, _checked(field.name, getattr(self, field.name)))
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise SettingsError(f"{name} is {getattr(self, name)!r}; it must be {_listed(choices)}.")
        if not 0 <= self.multi_scale < 1:
            raise SettingsError(f"multi_scale is {self.multi_scale}; it must be at least 0 and below 1.")
        if self.head_first_epochs < 0:
            raise SettingsError(f"head_first_epochs is {self.head_first_epochs}; it must be at least 0.")
        positive = [
            "head_first_views",
            "per_device_train_batch_size",
            "gradient_accumulation_steps",
            "max_nonfinite_steps",
        ]
        positive += [
            "early_stopping_patience",
            "num_threads",
            "checkpoints_total_limit",
            "max_train_steps",
            "eval_steps",
            "checkpointing_steps",
        ]
        for name in positive:
            if (value := getattr(self, name)) is not None and value < 1:
                raise SettingsError(f"{name} is {value}; it must be at least 1.")

    @property
    def canvas(self) -> tuple[int, int]:
        """(height, width) in pixels of the model's input."""
        size = [self.image_size] * 2 if isinstance(self.image_size, int) else self.image_size
        if len(size) != 2 or min(size) < 32 or any(edge % 32 for edge in size):
            raise SettingsError(
                f"image_size is {self.image_size}; it must be an edge length or [height, width] in multiples of 32, "
                "the stride of the coarsest feature map."
            )
        return size[0], size[1]


#: Setting -> its type.
TYPES = typing.get_type_hints(Settings)


def _listed(choices: tuple[str, ...]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"


def kinds_of(key: str) -> set[Any]:
    """Return the types that a setting may have."""
    kind = TYPES[key]
    members = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return {typing.get_origin(member) or member for member in members}


def _checked(key: str, value: Any) -> Any:
    """Convert a value to the setting's type; numbers may be text, since YAML 1.1 reads 1e-4 as a string."""
    kinds = kinds_of(key)
    if type(value) in kinds:
        return value
    if value is False and kinds <= {str, type(None)}:
        return "no"  # YAML 1.1 reads an unquoted no as false
    try:
        if float in kinds and isinstance(value, int | str) and not isinstance(value, bool):
            return float(value)
        if int in kinds and isinstance(value, str | float) and float(value).is_integer():
            return int(float(value))
    except ValueError:
        pass
    if kinds <= {str, type(None)} and isinstance(value, int | float):
        return str(value)
    wanted = " or ".join(sorted("null" if kind is type(None) else kind.__name__ for kind in kinds))
    raise SettingsError(f"{key} is {value!r}; it must be {wanted}.")
