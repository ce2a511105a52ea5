"""The fifteen motifs of a synthetic MVTec AD tree.

Each returns colors of shape (96, 96, 3), 0 to 1, and a boolean array that is true where a defect may lie.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .drawing import blob, grid, smooth_noise

SIZE = 96

Motif = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]


def _paint(rng: np.random.Generator, shade: np.ndarray, color: tuple[float, ...], grain: float = 0.02) -> np.ndarray:
    noise = grain * rng.standard_normal((SIZE, SIZE))
    return np.clip((shade + noise)[..., None] * np.asarray(color), 0, 1)


def _polar(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y, x = grid(SIZE, SIZE)
    dy, dx = y - SIZE / 2 + rng.uniform(-2, 2), x - SIZE / 2 + rng.uniform(-2, 2)
    return np.hypot(dy, dx) / (SIZE / 2), np.arctan2(dy, dx)


def _texture(shade: Callable[[np.random.Generator], np.ndarray], color: tuple[float, ...]) -> Motif:
    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return _paint(rng, shade(rng), color), np.ones((SIZE, SIZE), dtype=bool)

    return draw


def _weave(rng: np.random.Generator) -> np.ndarray:
    y, x = grid(SIZE, SIZE)
    return 0.5 + 0.12 * np.sin(x * 1.3) * np.sin(y * 1.3) + 0.04 * smooth_noise(rng, SIZE, SIZE, 2)


def _mesh(rng: np.random.Generator) -> np.ndarray:
    y, x = grid(SIZE, SIZE)
    phase = rng.uniform(0, 8)
    wire = ((x + y + phase) % 12 < 3) | ((x - y + phase) % 12 < 3)
    return np.where(wire, 0.3, 0.6) + 0.02 * smooth_noise(rng, SIZE, SIZE, 6)


def _hide(rng: np.random.Generator) -> np.ndarray:
    return 0.55 + 0.06 * smooth_noise(rng, SIZE, SIZE, 1.2)


def _speckle(rng: np.random.Generator) -> np.ndarray:
    return np.where(smooth_noise(rng, SIZE, SIZE, 1.5) > 0.6, 0.35, 0.75)


def _grain(rng: np.random.Generator) -> np.ndarray:
    return 0.6 + 0.07 * smooth_noise(rng, SIZE, SIZE, (14, 0.9))


def _object(shape: Motif, color: tuple[float, ...], background_shade: float) -> Motif:
    """Return a motif of a colored object on a plain background; `shape` gives its shade and its pixels."""

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        shade, body = shape(rng)
        background = _paint(rng, np.full((SIZE, SIZE), background_shade), (1, 1, 1), 0.01)
        return np.where(body[..., None], _paint(rng, shade, color), background), body

    return draw


def _bottle(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    radius, _ = _polar(rng)
    return 0.35 + 0.3 * (np.abs(radius - 0.75) < 0.08) + 0.2 * (radius < 0.4), radius < 0.88


def _cable(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    radius, angle = _polar(rng)
    y, x = radius * np.sin(angle), radius * np.cos(angle)
    thirds = 2 * np.pi * np.arange(3) / 3
    cores = np.any([np.hypot(y - 0.45 * np.sin(a), x - 0.45 * np.cos(a)) < 0.32 for a in thirds], axis=0)
    return 0.55 + 0.35 * cores + 0.1 * np.sin(radius * 40) * cores, radius < 0.9


def _capsule(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y, x = grid(SIZE, SIZE)
    y0 = SIZE / 2 + rng.uniform(-3, 3)
    distance = np.hypot(y - y0, np.maximum(np.abs(x - SIZE / 2) - 22, 0))
    return np.where(x < SIZE / 2, 0.25, 0.9) - 0.012 * distance, distance < 19


def _hazelnut(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    body = blob(rng, SIZE, SIZE, (SIZE / 2, SIZE / 2), (36, 33))
    radius, _ = _polar(rng)
    return 0.85 - 0.4 * radius + 0.05 * smooth_noise(rng, SIZE, SIZE, (3, 1)), body


def _metal_nut(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    radius, angle = _polar(rng)
    return 0.7 + 0.1 * np.cos(radius * 25), (radius < 0.7 + 0.15 * np.cos(4 * angle)) & (radius > 0.28)


def _pill(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y, x = grid(SIZE, SIZE)
    body = ((y - SIZE / 2) / 24) ** 2 + ((x - SIZE / 2 + rng.uniform(-3, 3)) / 40) ** 2 < 1
    return 0.9 - 0.25 * (smooth_noise(rng, SIZE, SIZE, 1) > 2), body


def _screw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    radius, angle = _polar(rng)
    turn = angle - rng.uniform(0, 2 * np.pi)
    along, across = radius * np.cos(turn), radius * np.sin(turn)
    head = (along < -0.5) & (along > -0.75) & (np.abs(across) < 0.28)
    return 0.4 + 0.15 * np.sin(along * 45) * ~head, head | ((np.abs(along) < 0.75) & (np.abs(across) < 0.13))


def _toothbrush(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y, x = grid(SIZE, SIZE)
    body = (np.abs(y - SIZE / 2) < 40) & (np.abs(x - SIZE / 2 + rng.uniform(-3, 3)) < 20)
    return 0.7 + 0.25 * np.sin(x * 0.9) * np.sin(y * 0.9), body


def _transistor(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y, x = grid(SIZE, SIZE)
    case = (np.abs(y - 36) < 21) & (np.abs(x - 48) < 26)
    leads = (y > 56) & (y < 84) & (np.abs((x - 24) % 16 - 8) < 2.5) & (np.abs(x - 48) < 25)
    return np.where(case, 0.2, 0.9) + 0.02 * smooth_noise(rng, SIZE, SIZE, 3), case | leads


def _zipper(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y, x = grid(SIZE, SIZE)
    teeth = (np.abs(x - 48) < 14) & ((y + 4 * (x > 48) + rng.uniform(0, 8)) % 8 < 5)
    weave = 0.3 + 0.05 * np.sin(x * 2) * np.sin(y * 2)
    return np.where(teeth, 0.75, weave), np.abs(x - 48) < 40


MOTIFS: dict[str, Motif] = {
    "bottle": _object(_bottle, (0.7, 0.55, 0.3), 0.95),
    "cable": _object(_cable, (0.75, 0.75, 0.5), 0.1),
    "capsule": _object(_capsule, (1.0, 0.6, 0.2), 0.95),
    "carpet": _texture(_weave, (0.9, 0.9, 0.95)),
    "grid": _texture(_mesh, (1, 1, 1)),
    "hazelnut": _object(_hazelnut, (0.8, 0.5, 0.3), 0.05),
    "leather": _texture(_hide, (0.75, 0.5, 0.3)),
    "metal_nut": _object(_metal_nut, (0.9, 0.9, 0.95), 0.15),
    "pill": _object(_pill, (1.0, 0.9, 0.85), 0.05),
    "screw": _object(_screw, (1, 1, 1), 0.85),
    "tile": _texture(_speckle, (0.95, 0.95, 0.9)),
    "toothbrush": _object(_toothbrush, (0.5, 0.8, 0.9), 0.1),
    "transistor": _object(_transistor, (0.9, 0.9, 0.9), 0.6),
    "wood": _texture(_grain, (0.95, 0.7, 0.45)),
    "zipper": _object(_zipper, (1, 1, 1), 0.7),
}
