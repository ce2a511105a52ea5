"""Every color of images, plots and pages, distinguishable for color-blind people too.

The named ones are Okabe and Ito's, https://jfly.uni-koeln.de/color/. Where there are more classes than colors, a
pattern or a name beside the color distinguishes them.
"""

from __future__ import annotations

ORANGE, SKY, GREEN, YELLOW = "#e69f00", "#56b4e9", "#009e73", "#f0e442"
BLUE, VERMILION, PURPLE, GRAY = "#0072b2", "#d55e00", "#cc79a7", "#8a8f98"

#: Colors of classes drawn on an image, within a black halo.
ON_IMAGES = (ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE)
#: Colors of classes and splits in a plot; yellow would vanish on white paper.
ON_PAPER = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, GRAY)
#: Quantities, from none to most: ten steps of cividis.
SHADES = (
    "#00224e",
    "#123570",
    "#3b496c",
    "#575d6d",
    "#707173",
    "#8a8678",
    "#a59c74",
    "#c3b369",
    "#e1cc55",
    "#fee838",
)

#: Colors of a sheet or a plot: background, text, minor text, rules; and the outline of what is drawn on an image.
PAPER, INK, DIM, LINE, HALO = "#ffffff", "#1c2430", "#5c6878", "#d5dae1", "#000000"
#: Colors of a verdict, always with its word: a correct detection or a passed test; a missed defect or a failed test; a
#: false positive.
CORRECT, MISSED, FALSE_POSITIVE = GREEN, VERMILION, YELLOW


def ink(color: str) -> str:
    """Return black or white, whichever has the greater contrast on the color (WCAG's relative luminance)."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"
