"""A gallery of images with their truth: one HTML file with filters, a large view and keys, that needs no network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from ..view.annotated_image import DEFECT_FREE, NOT_ANNOTATED, AnnotatedImage
from ..view.drawing import MASK_OPACITY, Look, looks
from ..view.pages import embedded, write_page
from ..view.palette import ON_IMAGES
from .chosen_images import Choice, ChoiceError

#: Bytes of all pictures of a page together, as they stand in it. Many or large images are made smaller to keep to it.
MAX_BYTES = 24_000_000
#: More are refused: the smallest step below is about 10 kB.
MAX_IMAGES = 2000

# Longer edge in pixels and JPEG quality, until a picture has its share of `MAX_BYTES`; the last one in any case.
_STEPS = ((1280, 88), (1024, 85), (800, 82), (640, 80), (480, 75), (320, 70), (240, 60))
_SMALL = 400  # pixels: an image of a smaller edge is enlarged without smoothing
_CLEAN, _UNKNOWN = "clean", "unknown"  # stand in `data-class` where a class's number would


def write_gallery(file: Path, choice: Choice) -> int:
    """Write the page, and tell how many images are in it; an older page stays until this one is whole.

    Raises:
        ChoiceError: more than `MAX_IMAGES` images.
    """
    if len(choice.places) > MAX_IMAGES:
        raise ChoiceError(f"{len(choice.places):,} images for one page; it holds {MAX_IMAGES:,} at most: ask for fewer")
    styles = looks(choice.names)
    figures, keys, shapes = [], [], []
    layers = ["boxes"]
    for picture in choice.images():
        keys.append((_class_keys(picture), choice.splits.index(picture.split), choice.titles.index(picture.title)))
        figures.append(_figure(picture, keys[-1], styles, MAX_BYTES // len(choice.places)))
        shapes.append(picture.image.width / picture.image.height)
        layers += ["masks"] * bool(picture.masks) + ["template"] * (picture.reference is not None)
    layers = list(dict.fromkeys(sorted(layers)))
    about = (
        f"{len(figures):,} of {choice.total:,} images, taken from classes and splits in turn (seed {choice.seed}). "
        "The letters at a box stand for its class."
    )
    thumb = min(420, max(160, round(190 * median(shapes or [1]) ** 0.5)))
    body = (
        f'<p>{about}</p><form id="filters"><details open><summary>Filters</summary>'
        f"{_filters(choice, styles, keys)}</details></form>{_buttons(layers)}"
        '<p id="none" class="note" hidden>No image is all of that.</p>'
        f'<div class="grid" style="--thumb:{thumb}px">{"".join(figures)}</div>{_viewer(layers)}'
    )
    own = files("radikal_datasets.preview")
    look_styles = "".join(_class_style(i, look) for i, look in enumerate(styles))
    style, script = ((own / name).read_text("utf-8") for name in ("gallery.css", "gallery.js"))
    write_page(file, choice.heading(), body, style=look_styles + style, script=script, width=1480)
    return len(figures)


def _toggles(layers: Sequence[str]) -> str:
    start = '<button type="button" aria-pressed="true" data-toggle='
    return "".join(f'{start}"{layer}">{layer.title()} <kbd>{layer[0]}</kbd></button>' for layer in layers)


def _buttons(layers: Sequence[str]) -> str:
    return (
        '<p class="dim">Keys: arrows, Home and End go through the images, Enter opens one, Escape closes it. '
        'On a touch screen, swipe.</p><div class="buttons"><output id="count"></output>'
        f'{_toggles(layers)}<button type="reset" form="filters">All images</button></div>'
    )


def _viewer(layers: Sequence[str]) -> str:
    return (
        '<dialog id="viewer" aria-labelledby="caption"><div class="buttons">'
        '<button type="button" id="previous" aria-label="Previous image" autofocus>&larr;</button>'
        '<button type="button" id="next" aria-label="Next image">&rarr;</button><output id="place"></output>'
        f'{_toggles(layers)}<button type="button" id="close">Close <kbd>Esc</kbd></button></div>'
        '<p id="caption" class="dim" aria-live="polite"></p><div id="large"></div></dialog>'
    )


def _class_style(number: int, look: Look) -> str:
    dashes = " ".join(f"{2 * part}px" for part in look.pattern) or "none"
    return f".c{number} {{ --c: {look.color}; --i: {look.ink}; --d: {dashes} }}\n"


def _class_keys(picture: AnnotatedImage) -> list[str]:
    held = [str(label) for label in sorted(set(picture.labels))]
    return held or [_CLEAN if picture.annotated else _UNKNOWN]


def _filters(choice: Choice, styles: Sequence[Look], keys: Sequence[tuple[list[str], int, int]]) -> str:
    """Tick boxes for what is on the page, each with how many images; a group of one split or set is left out."""
    held = [key for classes, _, _ in keys for key in classes]
    rows = [(_CLEAN, DEFECT_FREE), (_UNKNOWN, NOT_ANNOTATED)]
    rows += [(str(i), _swatch(i, style) + html.escape(style.name)) for i, style in enumerate(styles)]
    groups = _group("Class", "class", rows, held)
    for title, name, texts, at in (("Split", "split", choice.splits, 1), ("Set", "set", choice.titles, 2)):
        values = [str(key[at]) for key in keys]
        if len(set(values)) > 1:
            groups += _group(title, name, [(str(i), html.escape(text)) for i, text in enumerate(texts)], values)
    return groups


def _group(title: str, name: str, rows: Iterable[tuple[str, str]], held: Sequence[str]) -> str:
    chips = "".join(
        f'<label><input type="checkbox" name="{name}" value="{value}">{text} <span class="dim">{held.count(value)}'
        "</span></label>"
        for value, text in rows
        if value in held
    )
    return f'<fieldset><legend>{title}</legend><div class="chips">{chips}</div></fieldset>'


def _figure(picture: AnnotatedImage, keys: tuple[list[str], int, int], styles: Sequence[Look], budget: int) -> str:
    classes, split, title = keys
    described = picture.described([style.name for style in styles])
    image, masks, reference = _addresses(picture, styles, budget)
    small = " class=small" if max(picture.image.size) < _SMALL else ""
    layers = f'<img src="{image}" alt="" loading="lazy">'
    if masks:
        layers += f'<img class="masks" src="{masks}" alt="" loading="lazy">'
    layers += _boxes(picture, styles)
    template = ""
    if reference:
        template = f'<span class="stack" hidden><img src="{reference}" alt="template" loading="lazy"></span>'
    name, counts = html.escape(picture.image_id), picture.counts()
    truth = [f"{count} {_swatch(i, styles[i])} {html.escape(styles[i].name)}" for i, count in counts.items()] or [
        described
    ]
    label = html.escape(f"{picture.image_id}, {picture.split}: {described}")
    return (
        f'<figure{small} data-class="{" ".join(classes)}" data-split="{split}" data-set="{title}" '
        f'style="--r:{picture.image.width / picture.image.height:.4f}">'
        f'<button type="button" aria-label="{label}"><span class="stack">{layers}</span></button>{template}'
        f"<figcaption><b>{name}</b> {html.escape(picture.split)} &middot; {', '.join(truth)}</figcaption></figure>"
    )


def _boxes(picture: AnnotatedImage, styles: Sequence[Look]) -> str:
    """Lines as SVG in the image's own pixels, codes as text beside them, which keeps its size in every view."""
    width, height = picture.image.size
    lines, tags = [], []
    for (x_min, y_min, x_max, y_max), label in zip(picture.boxes, picture.labels, strict=True):
        place = f'x="{x_min:.1f}" y="{y_min:.1f}" width="{x_max - x_min:.1f}" height="{y_max - y_min:.1f}"'
        lines.append(f'<rect class="halo" {place}/><rect class="line c{label}" {place}/>')
        side = _tag_side((x_min / width, y_min / height, x_max / width, y_max / height), width / height)
        tags.append(f'<span class="tag c{label}" style="{side}">{html.escape(styles[label].code)}</span>')
    if not lines:
        return ""
    svg = f'<svg class="boxes" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
    return f"{svg}{''.join(lines)}</svg>{''.join(tags)}"


def _tag_side(box: tuple[float, float, float, float], shape: float) -> str:
    """CSS that puts a text beside a box, whose corners are fractions of an image `shape` times as wide as high."""
    x_min, y_min, x_max, y_max = (100 * value for value in box)
    room = max(9, 4 * shape)  # percent of the height that a text may need in the grid
    if shape > 2.5 and y_max - y_min < 60:  # above and below is little room
        across = f"left:{x_max:.1f}%" if x_max < 85 else f"right:{100 - x_min:.1f}%"
        return f"{across};top:{min(y_min, 100 - room):.1f}%"
    across = f"right:{100 - x_max:.1f}%" if x_min > 80 else f"left:{x_min:.1f}%"
    if y_min > room:
        return f"{across};bottom:{100 - y_min:.1f}%"
    return f"{across};top:{y_max if y_max < 100 - room else 0:.1f}%"


def _addresses(picture: AnnotatedImage, styles: Sequence[Look], budget: int) -> tuple[str, str, str]:
    """`data:` addresses of image, masks and template ("" where there is none), within the budget in bytes."""
    found = "", "", ""
    for edge, quality in _STEPS:
        image = embedded(picture.image, edge, quality)
        masks = _masks(picture, styles, edge) if picture.masks else ""
        reference = embedded(picture.reference, edge, quality) if picture.reference else ""
        found = image, masks, reference
        if sum(map(len, found)) <= budget:
            break
    return found


def _masks(picture: AnnotatedImage, styles: Sequence[Look], edge: int) -> str:
    """All masks as one PNG with translucent colors; where two meet, the later one's."""
    size = picture.image.size
    scale = min(1, edge / max(size))
    size = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    numbers = np.zeros(size[::-1], np.uint8)
    for mask, label in zip(picture.masks, picture.labels, strict=True):
        inside = Image.fromarray(np.where(np.asarray(mask) != 0, 255, 0).astype(np.uint8))
        # Any pixel that the mask touches: a thin crack must not vanish where the image is made smaller.
        numbers[np.asarray(inside.resize(size, Image.Resampling.BOX)) > 0] = 1 + ON_IMAGES.index(styles[label].color)
    image = Image.fromarray(numbers, "P")
    image.putpalette(bytes(3) + b"".join(bytes.fromhex(color[1:]) for color in ON_IMAGES))
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True, transparency=bytes([0] + [round(255 * MASK_OPACITY)] * len(ON_IMAGES)))
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def _swatch(number: int, look: Look) -> str:
    return f'<span class="swatch c{number}" aria-hidden="true">{html.escape(look.code)}</span>'
