"""`Augmentation`: the strength of changes to training batches, and their order."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from loaders.augmentation import flaws, geometry, mixing, photometry
from loaders.augmentation.batch import Batch, groups
from radikal_datasets.sources import source_info

#: The strengths that `for_source` uses for changes whose default is 0. Copy-paste is not among them: it needs masks, so
#: it has to be requested.
MILD = {
    "turn": 0.5,
    "rotation": 5.0,
    "translate": 0.1,
    "shear": 2.0,
    "mosaic": 0.25,
    "gamma": 0.2,
    "blur": 1.0,
    "erase": 0.1,
}

_PROBABILITIES = ("flip_horizontal", "flip_vertical", "turn", "mosaic", "erase", "copy_paste", "flaws", "min_visible")


@dataclass(frozen=True)
class Augmentation:
    """Strengths of changes to training images; a callable that changes a batch on the device of its images.

    All zero: nothing is changed. The order is: mosaic, copy-paste, flaws, geometry, erasing, photometry. The geometry
    of an image is one matrix and at most one interpolation; flips and turns alone are exact. Everything happens within
    the content: nothing is drawn into the padding, and except in a mosaic, which fills the canvas, content keeps its
    size.
    Each image draws its own values, uniformly unless stated otherwise.

    Attributes:
        flip_horizontal, flip_vertical: probability of each.
        turn: probability of a turn by 90, 180 or 270 degrees; content that isn't square is only turned by 180.
        rotation: largest angle either way, degrees. Without masks a box becomes the box around its rotated corners,
            which is larger than the object; with masks it stays tight.
        translate: largest shift either way, as a fraction of the content's height and width.
        scale: largest zoom, in both directions: 0.5 shows between 1/1.5 and 1.5 times the size, uniform on a log scale.
            Zooming in crops at random, zooming out places at random and fills with the image's mean.
        shear: largest angle either way by which vertical lines lean, degrees.
        mosaic: probability that an image becomes a collage of itself and three images of the batch at half size.
        brightness, contrast: largest relative change.
        gamma: largest change of the exponent: 0.5 draws between 1/1.5 and 1.5, uniform on a log scale.
        noise: largest deviation of additive Gaussian noise, as a fraction of white.
        blur: largest deviation of a Gaussian blur, pixels of the canvas.
        erase: probability that a rectangle of 2 to 20 % of the content is filled with the image's mean.
        copy_paste: probability that the instances of another image of the batch are pasted by their masks, where they
            overlap no box.
        flaws: probability that soft bright blobs are drawn, as voids look in an X-ray, each with a box of the first
            class; for sets with one class.
        min_visible: a box of which less than this share is left is removed, with its label and mask.

    Raises:
        ValueError: a probability that is not within 0..1, or a strength that is negative.
    """

    flip_horizontal: float = 0.5
    flip_vertical: float = 0.5
    turn: float = 0.0
    rotation: float = 0.0
    translate: float = 0.0
    scale: float = 0.3
    shear: float = 0.0
    mosaic: float = 0.0
    brightness: float = 0.2
    contrast: float = 0.2
    gamma: float = 0.0
    noise: float = 0.02
    blur: float = 0.0
    erase: float = 0.0
    copy_paste: float = 0.0
    flaws: float = 0.0
    min_visible: float = 0.25

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _PROBABILITIES:
                if not 0 <= value <= 1:
                    raise ValueError(f"{field.name} is {value}, but must be a probability from 0 to 1.")
            elif not 0 <= value < float("inf"):
                raise ValueError(f"{field.name} is {value}, but must be a finite number of at least 0.")
        # At 90 degrees an image is sheared out to infinity.
        if self.shear >= 90:
            raise ValueError(f"shear is {self.shear}, but must be below 90 degrees.")

    @classmethod
    def for_source(cls, name: str, **changes: float) -> Augmentation:
        """Return realistic augmentations for a source: mild strengths for its `Source.augmentations`, otherwise 0.

        Args:
            name: a source, as in `load_dataset("radikal_datasets/<name>")`.
            changes: strengths to use instead, by field. `copy_paste` stays 0 unless given here: it needs masks.

        Raises:
            radikal_datasets.errors.UnknownSourceError: no such source.
            ValueError: a change that is not realistic for the source.
        """
        realistic = source_info(name).augmentations
        unrealistic = [field for field in changes if field not in (*realistic, "min_visible")]
        if unrealistic:
            verb = "are" if len(unrealistic) > 1 else "is"
            raise ValueError(
                f"{', '.join(unrealistic)} {verb} not realistic for {name}: no camera could have produced such an "
                f"image. Realistic augmentations are {', '.join(realistic)}. To use it anyway, construct "
                "Augmentation(...) directly."
            )
        strengths: dict[str, Any] = {field.name: 0.0 for field in fields(cls) if field.name != "min_visible"}
        strengths |= {field: getattr(cls, field) or MILD.get(field, 0.0) for field in realistic}
        return cls(**{**strengths, **changes})

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Change a batch.

        Args:
            batch: is not modified; the result shares with it what was not changed.
            generator: on the CPU. Every parameter is drawn from it, so that the result is a function of the batch and
                this generator's state; noise comes from a generator on the images' device, seeded by a draw from it.

        Returns:
            The changed batch. Gray levels are changed plane by plane: in a pair, the third plane is no longer exactly
            the difference of the other two, and has to be computed again.

        Raises:
            ValueError: `copy_paste` is above 0 and the batch has no masks.
        """
        # A gray plane that is only viewed as three is changed once.
        planes = batch.images.shape[1]
        one_plane = planes > 1 and batch.images.stride(1) == 0
        if one_plane:
            batch = replace(batch, images=batch.images[:, :1])
        given = batch.images.data_ptr()
        batch = self._shape(batch, generator)
        batch = self._light(batch, generator, in_place=batch.images.data_ptr() != given)
        return replace(batch, images=batch.images.expand(-1, planes, -1, -1)) if one_plane else batch

    def _shape(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Apply the changes that move pixels, boxes and masks."""
        if self.mosaic:
            batch = mixing.mosaic(batch, self.mosaic, generator)
        if self.copy_paste:
            batch = mixing.copy_paste(batch, self.copy_paste, generator)
        if self.flaws:
            batch = flaws.flaws(batch, self.flaws, 0, generator)
        flips_turns = self.flip_horizontal, self.flip_vertical, self.turn
        affine = self.rotation, self.translate, self.scale, self.shear
        turns = geometry.draw_turns(batch.content, *flips_turns, generator) if any(flips_turns) else None
        if any(affine):
            matrices = geometry.draw_affine(batch.content, *affine, generator)
            if turns is not None:
                matrices = matrices @ geometry.turn_matrices(turns, batch.content)
            batch = geometry.resample(batch, matrices, self.min_visible)
        elif turns is not None:
            batch = geometry.turn_exactly(batch, turns)
        if self.erase:
            batch = mixing.erase(batch, self.erase, self.min_visible, generator)
        return batch

    def _light(self, batch: Batch, generator: torch.Generator, *, in_place: bool) -> Batch:
        """Apply the changes of gray levels; `in_place`: no one else holds the images."""
        if not (self.brightness or self.contrast or self.gamma or self.blur or self.noise):
            return batch
        light = photometry.draw_light(
            len(batch.images),
            batch.images.device,
            self.brightness,
            self.contrast,
            self.gamma,
            self.blur,
            self.noise,
            generator,
        )
        before, inside = batch.images, batch.inside()
        mean = None if light.spread is None else batch.mean().mean(1, keepdim=True)
        images = before if in_place else torch.empty_like(before, memory_format=torch.contiguous_format)
        for some in groups(before):
            lit = photometry.relight(before[some], mean, batch.content, light, some)
            images[some] = lit if inside is None else torch.where(inside[some], lit, before[some])
        return replace(batch, images=images)
