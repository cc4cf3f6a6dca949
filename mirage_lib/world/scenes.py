"""The laboratory's pictures: an address always names the same drawing, at the size a model or a reader sees.

An address is ``lab-<seed>/<shape>-<colour>/<place>/<variant>`` or ``lab-<seed>/blank/<variant>``. It stands for
a scene and its picture. Pixels come only from integer arithmetic and closed formulas, so any machine draws the
same ones, in any language.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mirage_lib.core.errors import MirageError

SHAPES = ("ball", "box", "cone", "ring", "cross", "gem", "bow", "bar")
COLOURS = {  # red, green, blue; 0 to 255
    "red": (214, 48, 49),
    "green": (38, 152, 74),
    "blue": (45, 92, 214),
    "orange": (240, 150, 30),
    "purple": (142, 68, 173),
    "black": (45, 45, 52),
}
PLACES = {  # centre of the thing, in units of the 24-pixel image
    "upper left": (6, 6),
    "upper right": (18, 6),
    "lower left": (6, 18),
    "lower right": (18, 18),
}
CONCEPTS = tuple((shape, colour) for shape in SHAPES for colour in COLOURS)

PIXELS = 24  # width and height of what the model sees
# Variants of each thing in each place, up to but not including the second number; blanks have four times as many.
VARIANTS = {"train": (0, 12), "validation": (12, 14), "test": (14, 16)}
BLANKS = 4


@dataclass(frozen=True)
class Scene:
    """What an address shows; ``shape`` is "" for a blank image."""

    seed: int
    shape: str
    colour: str
    place: str
    variant: int


def address(seed: int, shape: str, colour: str, place: str, variant: int) -> str:
    """The address of an image; shape "" gives a blank one."""
    if not shape:
        return f"lab-{seed}/blank/{variant}"
    return f"lab-{seed}/{shape}-{colour}/{place.replace(' ', '-')}/{variant}"


@functools.lru_cache(maxsize=65536)
def scene_at(address: str) -> Scene:
    """What an address shows. Raises MirageError if it is not an address of the laboratory."""
    match = re.fullmatch(r"(?a)lab-(0|[1-9]\d{0,17})/(?:blank|(\w+)-(\w+)/(\w+)-(\w+))/(0|[1-9]\d?)", address)
    place = f"{match[4]} {match[5]}" if match and match[4] else ""
    known = match and (not match[2] or (match[2] in SHAPES and match[3] in COLOURS and place in PLACES))
    if not match or not known or int(match[6]) >= VARIANTS["test"][1] * (1 if place else BLANKS):
        raise MirageError(f"{address!r} is not an image of the laboratory (lab-<seed>/<shape>-<colour>/<place>/<n>).")
    return Scene(int(match[1]), match[2] or "", match[3] or "", place, int(match[6]))


def _hash(numbers: np.ndarray, salt: int) -> np.ndarray:
    """A 32-bit integer hash (xor, shift, multiply: cheap and exact in any language)."""
    x = (numbers.astype(np.uint64) + np.uint64(salt) * np.uint64(0x9E3779B1)) & np.uint64(0xFFFFFFFF)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    return x


def _inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Which points lie inside a shape of radius 1; u runs right and v down from its centre."""
    distance = u * u + v * v
    across, down = np.abs(u), np.abs(v)
    return {
        "ball": distance <= 1,
        "box": (across <= 0.85) & (down <= 0.85),
        "cone": (v >= -1) & (v <= 0.9) & (2 * across <= v + 1),
        "ring": (distance <= 1) & (distance >= 0.3),
        "cross": (np.minimum(across, down) <= 0.3) & (np.maximum(across, down) <= 1),
        "gem": across + down <= 1.1,
        "bow": (down <= across) & (across <= 1),
        "bar": (across <= 1) & (down <= 0.36),
    }[shape]


def render(address: str, pixels: int = PIXELS) -> Image.Image:
    """Draw an address as an RGB image of ``pixels`` x ``pixels``.

    At 24 it is what the model sees: hard edges and noise of up to 12 levels. At any other size it is the same
    scene for a human reader: smooth edges, no noise. Raises MirageError if this is not an address of the
    laboratory.
    """
    return Image.fromarray(_drawn(address, pixels))  # a copy: the caller may paint on it


@functools.lru_cache(maxsize=8192)
def _drawn(address: str, pixels: int) -> np.ndarray:
    scene = scene_at(address)
    salt = functools.reduce(lambda code, letter: (code * 31 + ord(letter)) & 0xFFFFFFFF, address, 7)
    chance = _hash(np.arange(4), salt)
    background = 215 + int(chance[0] % np.uint64(41))
    fine = 1 if pixels == PIXELS else 3  # points per pixel side, averaged for smooth edges
    centres = (np.arange(pixels * fine) + 0.5) * PIXELS / (pixels * fine)
    canvas = np.full((pixels * fine, pixels * fine, 3), float(background))
    if scene.shape:
        x, y = PLACES[scene.place]
        x, y = x + int(chance[1] % np.uint64(3)) - 1, y + int(chance[2] % np.uint64(3)) - 1
        radius = 5 + int(chance[3] % np.uint64(2))
        inside = _inside(scene.shape, (centres[None, :] - x) / radius, (centres[:, None] - y) / radius)
        canvas[inside] = COLOURS[scene.colour]
    if fine == 1:
        noise = _hash(np.arange(canvas.size), salt ^ 0x5BD1E995) % np.uint64(25)
        canvas = canvas + noise.astype(float).reshape(canvas.shape) - 12
    else:
        canvas = canvas.reshape(pixels, fine, pixels, fine, 3).mean(axis=(1, 3))
    return np.clip(canvas, 0, 255).round().astype(np.uint8)
