"""A drawing becomes an image as in MNIST, in whole numbers that another language can repeat."""

import json
import math
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn_tutorial import packed
from docs.web.make.golden import FILE, picture_of
from docs.web.make.prepare import INK, MIDDLE, SIDE, WIDTH, prepare_picture, prepare_strokes

GOLDEN = json.loads(FILE.read_text())
CORNER = [[(50, 40), (50, 200), (130, 200)], [(90, 60), (110, 90)]]

some = settings(max_examples=50, deadline=None, derandomize=True, database=None)
coordinates = st.floats(-1000, 1000, allow_subnormal=False).map(lambda x: round(x, 2))
polylines = st.lists(st.tuples(coordinates, coordinates), min_size=2, max_size=6)
drawings = st.lists(polylines, min_size=1, max_size=3)
pictures = st.tuples(st.integers(1, 45), st.integers(1, 45), st.randoms(use_true_random=False)).map(
    lambda args: np.array([[args[2].choice([0, 0, args[2].randrange(256)]) for _ in range(args[1])]
                           for _ in range(args[0])], np.uint8)
)  # fmt: skip


def square(strokes, **options):
    return prepare_strokes(strokes, **options).reshape(SIDE, SIDE).astype(int)


def side(image):
    """The longest side of what is there, in pixels."""
    rows, columns = image.any(axis=1).nonzero()[0], image.any(axis=0).nonzero()[0]
    return max(np.ptp(rows), np.ptp(columns)) + 1


def centre_of_mass(image):
    height, width = map(np.arange, image.shape)
    return np.array([(image.sum(axis=0) * width).sum(), (image.sum(axis=1) * height).sum()]) / image.sum()


@pytest.mark.parametrize("entry", GOLDEN["strokes"], ids=lambda entry: entry["name"])
def test_strokes_become_the_pixels_that_the_page_makes_of_them(entry):
    assert prepare_strokes(entry["strokes"], entry["smallest"]).tobytes().hex() == entry["pixels"]


@pytest.mark.parametrize("entry", GOLDEN["pictures"], ids=lambda entry: entry["name"])
def test_pictures_become_the_pixels_that_the_page_makes_of_them(entry):
    assert prepare_picture(picture_of(entry)).tobytes().hex() == entry["pixels"]


# Strokes


def drawn_with_dots(strokes):
    """The same with a few hundred dots a stroke, scaled and centred by hand, box and mass as their definitions say."""
    dense = [np.concatenate([np.linspace(a, b, 200) for a, b in pairwise(line)]) for line in map(np.array, strokes)]
    points = np.concatenate(dense)
    box = np.ptp(points, axis=0)
    points = (points - points.min(axis=0) - box / 2) / max(*box, 28) * (INK - WIDTH)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5

    def picture(middle):
        distance = np.hypot(*(np.stack([x, y])[..., None] - (points + middle).T[:, None, None])).min(axis=2)
        return 255 * np.clip(WIDTH / 2 + 0.5 - distance, 0, 1)

    return picture(SIDE / 2 + MIDDLE - centre_of_mass(picture(SIDE / 2)))


@pytest.mark.parametrize("strokes", [CORNER, [[(0, 0), (10, 280)]], [[(20, 30), (250, 40), (30, 200), (240, 230)]]])
def test_ink_falls_with_the_distance_from_the_line(strokes):
    np.testing.assert_allclose(square(strokes), drawn_with_dots(strokes), atol=2.5)


@some
@given(drawings)
def test_the_longest_side_is_twenty_pixels_and_the_mass_in_the_middle(strokes):
    image = square(strokes, smallest=1e-3)
    assert image.max() > 250
    if not (image[[0, -1]].any() or image[:, [0, -1]].any()):  # nothing was lost at the edge
        assert len(set(chain(*strokes))) == 1 or 19 <= side(image) <= 22
        np.testing.assert_allclose(centre_of_mass(image), MIDDLE, atol=0.15)


@some
@given(drawings, st.integers(-20, 20), st.sampled_from([(0, 0), (3.5, -120), (1e6, 1e-3)]))
def test_neither_size_nor_place_matters(strokes, power, place):
    there = [[(x * 2.0**power + place[0], y * 2.0**power + place[1]) for x, y in line] for line in strokes]
    np.testing.assert_allclose(square(there, smallest=2.0**power), square(strokes, smallest=1), atol=1)


@some
@given(drawings)
def test_neither_order_nor_direction_of_the_strokes_matters(strokes):
    other = [line[::-1] for line in strokes[::-1]]
    np.testing.assert_allclose(square(other), square(strokes), atol=1)


def test_strokes_are_as_wide_as_the_median_of_mnist(subset):
    images = subset.train_images.numpy().reshape(-1, SIDE, SIDE) / 255
    outline = np.sqrt(sum(slope**2 for slope in np.gradient(np.pad(images, ((0, 0), (1, 1), (1, 1))), axis=(1, 2))))
    widths = 2 * images.sum(axis=(1, 2)) / outline.sum(axis=(1, 2))
    assert np.median(widths) == pytest.approx(WIDTH, abs=0.05)


@pytest.mark.parametrize("strokes", [[], [[]], [[], []]])
def test_without_a_point_there_is_no_ink(strokes):
    assert not square(strokes).any()


@pytest.mark.parametrize("dot", [[[(3, 4)]], [[(3, 4), (3, 4)]], [[], [(3, 4)], [(3, 4)]]])
def test_a_dot_is_a_dot_in_the_middle(dot):
    image = square(dot)
    assert side(image) == 3
    assert image[MIDDLE, MIDDLE] == 255
    assert image[MIDDLE, MIDDLE + 1] == math.floor(255 * (0.5 + WIDTH / 2 - 1) + 0.5)


def test_what_is_smaller_than_the_smallest_stays_small():
    tremor = [[(100, 100), (107, 100)]]
    assert [side(square(tremor, smallest=size)) for size in (7, 28, 700)] == [21, 7, 3]


@pytest.mark.parametrize("point", [(math.nan, 0), (0, math.inf), (-math.inf, 1), (math.inf, math.inf)])
def test_points_that_are_nowhere_are_refused(point):
    with pytest.raises(ValueError, match="coordinates must be finite, got points from"):
        prepare_strokes([[(1, 1), (2, 2)], [point, (1, 0)]])


def test_a_drawing_larger_than_a_float_is_refused():
    with pytest.raises(ValueError, match="coordinates must be finite, got points from"):
        prepare_strokes([[(-1e308, 0), (1e308, 0)]])


@pytest.mark.parametrize("stroke", [[1, 2], [(1, 2, 3)], [[(1, 2)]]])
def test_strokes_that_are_no_points_are_refused(stroke):
    with pytest.raises(ValueError, match=r"expected a stroke of points \(x, y\), got shape"):
        prepare_strokes([stroke])


@pytest.mark.parametrize("smallest", [0, -1, math.nan])
def test_a_smallest_size_of_nothing_is_refused(smallest):
    with pytest.raises(ValueError, match="smallest must be above 0, got"):
        prepare_strokes([[(1, 2)]], smallest)


# Pictures


def shrunk(picture):
    """Each pixel repeated twenty times, and then the means of blocks as wide as the longest side."""
    longest = max(*picture.shape, INK)
    large = picture.repeat(INK, axis=0).repeat(INK, axis=1)
    blocks = [-(-length // longest) for length in large.shape]
    padded = np.zeros([count * longest for count in blocks])
    padded[: large.shape[0], : large.shape[1]] = large
    return np.floor(padded.reshape(blocks[0], longest, blocks[1], longest).mean(axis=(1, 3)) + 0.5)


def cut_out(picture):
    """28 rows and columns about the centre of mass of an even larger picture."""
    wide = np.pad(picture, 40)
    x, y = np.floor(centre_of_mass(wide) + 0.5).astype(int) - MIDDLE
    return wide[y : y + SIDE, x : x + SIDE]


@some
@given(pictures)
def test_a_picture_shrinks_to_means_of_areas_about_its_centre_of_mass(picture):
    image = prepare_picture(np.pad(picture, ((3, 0), (1, 2)))).reshape(SIDE, SIDE)
    rows, columns = picture.any(axis=1).nonzero()[0], picture.any(axis=0).nonzero()[0]
    small = shrunk(picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]) if len(rows) else np.zeros((1, 1))
    assert np.array_equal(image, cut_out(small) if small.any() else np.zeros((SIDE, SIDE)))


def tenfold(image, place):
    """On a canvas of 400, at that place."""
    canvas = np.zeros((400, 400), np.uint8)
    canvas[place[0] : place[0] + 280, place[1] : place[1] + 280] = np.kron(image.reshape(28, 28), np.ones((10, 10)))
    return canvas


@pytest.fixture(scope="module")
def back(full):
    """What comes back of each tenth test image after enlarging it."""
    images = full.test_images[::10].numpy()
    places = np.random.default_rng(0).integers(0, 121, (len(images), 2))
    return np.stack([prepare_picture(tenfold(*pair)) for pair in zip(images, places, strict=True)])


def test_an_image_enlarged_tenfold_comes_back_as_it_was(full, back):
    unchanged = (full.test_images[::10].numpy() == back).all(axis=1)
    assert unchanged.mean() >= 0.998  # two in ten thousand are 19 pixels long, and grow to 20


def test_what_comes_back_is_read_as_well(full, back):
    network, labels = packed.load_pretrained(), full.test_labels[::10].numpy()
    assert (network.predict(back) == labels).mean() >= (
        network.predict(full.test_images[::10]) == labels
    ).mean() - 0.005


def test_small_pictures_are_not_enlarged(subset):
    images = subset.test_images[:100].numpy()
    assert np.array_equal([prepare_picture(image.reshape(28, 28)) for image in images], images)


@pytest.mark.parametrize("picture", [np.zeros((28, 28)), np.zeros(784, np.uint8), np.zeros((2, 2, 3), np.uint8)])
def test_other_than_grey_pictures_are_refused(picture):
    with pytest.raises(ValueError, match=r"expected uint8 pixels of shape \(height, width\), got"):
        prepare_picture(picture)


@pytest.mark.parametrize("shape", [(0, 0), (5, 0), (5, 5)])
def test_a_picture_without_ink_is_empty(shape):
    assert not prepare_picture(np.zeros(shape, np.uint8)).any()


def test_ink_too_faint_for_a_whole_number_is_none():
    picture = np.zeros((200, 200), np.uint8)
    picture[0, 0] = picture[199, 199] = 1
    assert not prepare_picture(picture).any()
