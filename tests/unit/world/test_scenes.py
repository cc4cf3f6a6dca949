"""Pictures: an address always names the same drawing, and the drawing shows what the address says."""

import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirage_lib.core.errors import MirageError
from mirage_lib.world.scenes import (
    BLANKS,
    COLOURS,
    CONCEPTS,
    PIXELS,
    PLACES,
    SHAPES,
    VARIANTS,
    Scene,
    _drawn,
    address,
    render,
    scene_at,
)

LARGE = 4 * PIXELS
NOISE = 12  # levels, in the picture of the model's size
PINNED = {  # SHA-256 of the raw pixels
    "lab-0/gem-orange/lower-right/3": "6efade4f6d2d7d25c2d508c25638937cbda54229e942a79b3b4d990fa12f9097",
    "lab-0/blank/50": "b3a7fd217148703821bb376ae20f585757e2bf92d36e81e31301ce259263a18f",
}
things = st.sampled_from(CONCEPTS)
places = st.sampled_from(list(PLACES))
DRAWINGS = 16  # of each thing in each place
variants = st.integers(0, DRAWINGS - 1)
addresses = st.builds(
    lambda seed, thing, *rest: address(seed, *thing, *rest), st.integers(0, 50), things, places, variants
)


def levels(where: str, pixels: int = PIXELS) -> np.ndarray:
    return np.asarray(render(where, pixels)).astype(int)


def is_thing(picture: np.ndarray) -> np.ndarray:
    """Which pixels show the thing: every colour has a dark channel, no background has."""
    return picture.min(-1) < 150


@pytest.mark.parametrize("where", PINNED)
def test_drawing_has_not_changed(where):
    assert hashlib.sha256(render(where).tobytes()).hexdigest() == PINNED[where]


@given(addresses, st.sampled_from([PIXELS, LARGE, 50]))
def test_same_address_same_pixels(where, pixels):
    first = render(where, pixels)
    assert (first.mode, first.size) == ("RGB", (pixels, pixels))
    assert first.tobytes() == render(where, pixels).tobytes()
    _drawn.cache_clear()
    scene_at.cache_clear()
    assert first.tobytes() == render(where, pixels).tobytes()


@pytest.mark.parametrize("pixels", [PIXELS, LARGE])
def test_painting_on_a_picture_changes_it_for_nobody_else(pixels):
    where = "lab-0/ball-red/upper-left/0"
    mine = render(where, pixels)
    before = mine.tobytes()
    mine.paste((0, 0, 0), (0, 0, pixels, pixels))
    assert mine.tobytes() == bytes(3 * pixels * pixels)
    assert render(where, pixels) is not mine
    assert render(where, pixels).tobytes() == before


@given(st.integers(0, 10**9), things, places, variants)
def test_an_address_comes_back(seed, thing, place, variant):
    assert scene_at(address(seed, *thing, place, variant)) == Scene(seed, *thing, place, variant)


@given(st.integers(0, 10**9), places, st.integers(0, BLANKS * DRAWINGS - 1))
def test_a_blank_address_comes_back(seed, place, variant):
    where = address(seed, "", "", place, variant)
    assert where == f"lab-{seed}/blank/{variant}"
    assert scene_at(where) == Scene(seed, "", "", "", variant)


@pytest.mark.parametrize(
    "where",
    [
        "",
        "photo.png",
        "lab-0",
        "lab-0/blank",
        "lab-x/blank/0",
        "lab-0/blank/0/",
        "lab-0/blank/-1",
        "lab-0/ball-red/upper-left",
        "lab-0/ball-red/upper-left/x",
        "lab-0/ball-red/upperleft/0",
        "lab-0/red-ball/upper-left/0",
        "lab-0/ball-pink/upper-left/0",
        "lab-0/cube-red/upper-left/0",
        "lab-0/Ball-red/upper-left/0",
        "lab-0/ball-red/upper-left/0\n",
        "lab-0/ball-red/middle-left/0",
        "lab-0/ball-red/left-upper/0",
        "lab-0/ball-red/upper-upper/0",
        "lab-0/ball-red/upper-left/16",  # the first drawing that does not exist
        "lab-0/ball-red/upper-left/64",
        "lab-0/blank/64",
        "lab-0/blank/1000000",
        "lab-0/blank/٣",  # a digit, but not an ASCII one
        "lab-٣/blank/3",
        "lab-0/ball-red/upper-left/３",
    ],
)
def test_another_address_is_refused_by_name(where):
    for look in (scene_at, render):
        with pytest.raises(MirageError) as error:
            look(where)
        assert repr(where) in str(error.value)


@given(addresses)
def test_a_thing_lies_in_its_quadrant(where):
    thing = is_thing(levels(where))
    ys, xs = np.nonzero(thing)
    vertical, side = scene_at(where).place.split()
    half = PIXELS / 2
    assert (ys.mean() + 0.5 < half) == (vertical == "upper")
    assert (xs.mean() + 0.5 < half) == (side == "left")
    # Centres wander by one pixel, so an edge may stand one pixel over the middle, never more.
    assert (ys.max() <= half) if vertical == "upper" else (ys.min() >= half - 1)
    assert (xs.max() <= half) if side == "left" else (xs.min() >= half - 1)
    quadrant = thing[: PIXELS // 2] if vertical == "upper" else thing[PIXELS // 2 :]
    quadrant = quadrant[:, : PIXELS // 2] if side == "left" else quadrant[:, PIXELS // 2 :]
    assert quadrant.sum() >= 0.8 * thing.sum()
    assert thing.sum() >= 20


@given(addresses)
def test_noise_is_at_most_twelve_levels(where):
    small, large = levels(where), levels(where, LARGE)
    background = large[is_background(large)][0]
    true = np.where(is_thing(small)[..., None], COLOURS[scene_at(where).colour], background)
    off = np.abs(small - true)
    assert off.max() <= NOISE
    assert off.max() >= NOISE - 2  # there is noise


def is_background(picture: np.ndarray) -> np.ndarray:
    """Which pixels have the commonest colour of the picture: no thing covers a fifth of it."""
    values, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    return (picture == values[counts.argmax()]).all(-1)


@given(addresses)
def test_a_large_picture_has_no_noise_but_smooth_edges(where):
    picture = levels(where, LARGE)
    pure = (picture == COLOURS[scene_at(where).colour]).all(-1)
    even = is_background(picture)
    assert 215 <= picture[even].min() == picture[even].max()  # one light grey
    assert even.mean() > 0.7
    assert pure.sum() > 16 * 15
    edges = ~pure & ~even
    assert edges.sum() < 0.3 * pure.sum()
    if scene_at(where).shape in ("ball", "ring", "gem", "cone", "bow"):  # the others may fall on whole pixels
        assert edges.sum() > 40


@given(st.integers(0, 50), st.integers(0, BLANKS * DRAWINGS - 1))
def test_a_blank_picture_shows_nothing(seed, variant):
    where = address(seed, "", "", "", variant)
    assert len(np.unique(levels(where, LARGE))) == 1
    background = levels(where, LARGE).min()
    assert 215 <= background <= 255
    assert np.abs(levels(where) - background).max() <= NOISE


@given(addresses)
def test_both_sizes_show_the_same_scene(where):
    small, large = levels(where), levels(where, LARGE)
    colour = np.array(COLOURS[scene_at(where).colour])
    assert np.abs(np.median(small[is_thing(small)], axis=0) - colour).max() <= NOISE
    assert (np.median(large[is_thing(large)], axis=0) == colour).all()
    inside_small, inside_large = np.nonzero(is_thing(small)), np.nonzero(is_thing(large))
    for a, b in zip(inside_small, inside_large, strict=True):
        assert abs((a.mean() + 0.5) - (b.mean() + 0.5) * PIXELS / LARGE) < 0.6
    shrunk = is_thing(large).reshape(PIXELS, 4, PIXELS, 4).mean((1, 3)) > 0.5
    both, either = (shrunk & is_thing(small)).sum(), (shrunk | is_thing(small)).sum()
    assert both / either > 0.6  # a thin cross has coarse arms


def test_every_drawing_is_its_own():
    drawn = {}
    for thing in CONCEPTS:
        for place in PLACES:
            for variant in range(DRAWINGS):
                where = address(0, *thing, place, variant)
                drawn.setdefault(render(where).tobytes(), []).append(where)
    for variant in range(BLANKS * DRAWINGS):
        where = address(0, "", "", "", variant)
        drawn.setdefault(render(where).tobytes(), []).append(where)
    assert len(drawn) == (len(CONCEPTS) * len(PLACES) + BLANKS) * DRAWINGS


def test_every_drawing_belongs_to_one_split():
    parts = {split: list(range(*ends)) for split, ends in VARIANTS.items()}
    assert list(parts) == ["train", "validation", "test"]
    assert list(itertools.chain(*parts.values())) == list(range(DRAWINGS))
    assert all(parts.values())


def test_held_out_drawings_are_no_copies_of_training_ones():
    first = VARIANTS["validation"][0]
    for thing in CONCEPTS:
        pictures = [levels(address(3, *thing, "upper left", variant)) for variant in range(DRAWINGS)]
        for held_out in pictures[first:]:
            differing = [(held_out != seen).any(-1).mean() for seen in pictures[:first]]
            assert min(differing) > 0.9  # of the pixels: the noise alone is drawn afresh


def test_worlds_draw_differently_and_shapes_differ():
    assert render("lab-0/ball-red/upper-left/0").tobytes() != render("lab-1/ball-red/upper-left/0").tobytes()
    areas = {shape: is_thing(levels(f"lab-0/{shape}-red/upper-left/0", LARGE)) for shape in SHAPES}
    names = list(areas)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert (areas[one] != areas[other]).sum() > 50, (one, other)
