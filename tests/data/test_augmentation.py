"""Transforms: what each does against formulas and PyTorch, forms of input, seeds, workers, errors."""

import itertools

import numpy as np
import pytest

import pydl
from pydl.data import DataLoader, Digits, TensorDataset
from pydl.data import transforms as T
from pydl.errors import ArgumentError, DtypeError, ShapeError

RNG = np.random.default_rng(0)
COLOUR = RNG.random((5, 3, 9, 7), np.float32)
ALL = [
    T.RandomHorizontalFlip(),
    T.RandomVerticalFlip(),
    T.Pad((1, 2), fill=0.5),
    T.CenterCrop((5, 8)),
    T.RandomCrop((6, 5), padding=2, padding_mode="reflect"),
    T.RandomShift((2, 1)),
    T.Resize(5),
    T.RandomResizedCrop((4, 6)),
    T.RandomRotation(40, "bilinear"),
    T.RandomAffine(20, (0.2, 0.1), (0.8, 1.2), (-5, 5, -8, 8)),
    T.ColorJitter(0.4, 0.4, 0.4, 0.1),
    T.PCAColor(),
    T.RandomGrayscale(0.5),
    T.Cutout(4, holes=2),
    T.RandomErasing(0.9),
    T.RandomErasing(1, value="random"),
    T.RandomApply([T.RandomShift(1), T.ColorJitter(0.3)]),
    T.Compose([T.RandomCrop(6), T.RandomHorizontalFlip(), T.ColorJitter(0.2), T.Cutout(2)]),
]
IDS = [f"{i}-{type(t).__name__}" for i, t in enumerate(ALL)]


def stream(seed=0):
    return np.random.Generator(np.random.Philox(seed))


# ---------------------------------------------------------------- what all share


@pytest.mark.parametrize("transform", ALL, ids=IDS)
def test_a_batch_is_its_images_one_by_one(transform):
    before, rng = COLOUR.copy(), stream()
    batch = transform(COLOUR, stream())
    single = np.stack([transform(image, rng) for image in COLOUR])
    np.testing.assert_array_equal(batch, single)
    np.testing.assert_array_equal(COLOUR, before)
    assert not np.shares_memory(batch, COLOUR) or np.array_equal(COLOUR, before)


@pytest.mark.parametrize("transform", ALL, ids=IDS)
def test_seeds_and_forms(transform):
    first = transform(COLOUR, 7)
    np.testing.assert_array_equal(first, transform(COLOUR, 7))
    made = transform(pydl.from_numpy(COLOUR.copy()), 7)
    assert isinstance(made, pydl.Tensor) and made.dtype == pydl.float32
    np.testing.assert_array_equal(made.numpy(), first)
    np.testing.assert_array_equal(transform(np.asfortranarray(COLOUR), 7), first)
    for dtype in (np.float16, np.float32, np.float64, np.uint8):
        scaled = (COLOUR * 255 if dtype == np.uint8 else COLOUR).astype(dtype)
        got = transform(scaled, 7)
        assert got.dtype == dtype and got.shape == first.shape
        if dtype != np.uint8:
            np.testing.assert_allclose(got.astype(float), first, atol=4e-3 if dtype == np.float16 else 1e-5)
    assert transform(COLOUR[:0], 7).shape == (0, *first.shape[1:])
    pydl.manual_seed(3)
    drawn = transform(COLOUR)
    pydl.manual_seed(3)
    np.testing.assert_array_equal(transform(COLOUR), drawn)


@pytest.mark.parametrize("transform", ALL, ids=IDS)
def test_what_is_no_image(transform):
    for wrong, error in (
        (np.zeros(4, np.float32), ShapeError),
        (np.zeros((1, 1, 3, 4, 4), np.float32), ShapeError),
        (np.zeros((4, 4), np.int64), DtypeError),
        ([[0.0]], DtypeError),
        (pydl.zeros(3, 4, 4, dtype=pydl.bfloat16), DtypeError),
    ):
        with pytest.raises(error):
            transform(wrong)
    with pytest.raises(ArgumentError, match="generator must be a seed"):
        transform(COLOUR, "seed")


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("whole", [True, False])
def test_workers_change_nothing(workers, whole):
    chain = T.Compose([T.RandomCrop(8, padding=2), T.ToTensor(16)])
    data = (
        T.TransformedDataset(TensorDataset(pydl.rand(40, 1, 8, 8), pydl.arange(40)), T.RandomCrop(6))
        if whole
        else Digits(transform=chain)
    )
    epochs = []
    for number in (0, workers):
        loader = DataLoader(data, batch_size=9, shuffle=True, seed=5, num_workers=number)
        epochs.append([x.numpy() for _ in range(2) for x, _ in loader])
    for a, b in zip(*epochs, strict=True):
        np.testing.assert_array_equal(a, b)
    half = len(epochs[0]) // 2
    assert not np.array_equal(epochs[0][0], epochs[0][half])  # another epoch, other numbers


def test_a_transformed_dataset():
    data = TensorDataset(pydl.rand(6, 3, 5, 5), pydl.arange(6))
    flipped = T.TransformedDataset(data, T.RandomHorizontalFlip(1))
    assert len(flipped) == 6
    image, label = flipped[2]
    np.testing.assert_array_equal(image.numpy(), data[2][0].numpy()[..., ::-1])
    assert label.item() == 2


def test_draws():
    from pydl.data.transforms.draws import as_draws

    draws = as_draws(11, 4000)
    u = draws.uniform(3)
    assert u.min() > 0 and u.max() < 1
    assert abs(u.mean() - 0.5) < 4 / np.sqrt(12 * u.size)
    normal = as_draws(12, 20000).normal(2)
    np.testing.assert_allclose(np.cov(normal.T), np.eye(2), atol=0.04)
    counts = np.bincount(as_draws(13, 60000).integers(0, 5), minlength=6)
    assert ((counts - 10000) ** 2 / 10000).sum() < 20.5  # chi-squared of 5 degrees, 0.1 %
    assert np.abs(np.corrcoef(as_draws(14, 20000).uniform(4).T) - np.eye(4)).max() < 0.04
    assert abs(np.corrcoef(*as_draws(15, 2).uniform(20000))[0, 1]) < 0.03  # two images


# ---------------------------------------------------------------- places


def test_flips_and_their_share():
    x = RNG.random((4000, 1, 2, 3))
    for transform, axis in ((T.RandomHorizontalFlip(0.3), -1), (T.RandomVerticalFlip(0.3), -2)):
        y = transform(x, 1)
        mirrored = (y == np.flip(x, axis)).all((1, 2, 3))
        assert (mirrored | (y == x).all((1, 2, 3))).all()
        assert abs(mirrored.mean() - 0.3) < 4 * np.sqrt(0.21 / 4000)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_pad(mode):
    y = T.Pad((1, 2, 3, 4), 0.25, mode)(COLOUR)
    extra = {"constant_values": 0.25} if mode == "constant" else {}
    np.testing.assert_array_equal(y, np.pad(COLOUR, ((0, 0), (0, 0), (2, 4), (1, 3)), mode, **extra))
    channels = T.Pad(1, (1, 2, 3))(COLOUR)
    np.testing.assert_array_equal(channels[0, :, 0, 0], [1, 2, 3])


def test_random_crop_takes_every_place_equally_often():
    x = np.arange(30.0).reshape(1, 1, 5, 6).repeat(6000, 0)
    y = T.RandomCrop((3, 4))(x, 2)
    top, left = np.divmod(y[:, 0, 0, 0].astype(int), 6)
    np.testing.assert_array_equal(y - y[:, :, :1, :1], (x - x[:, :, :1, :1])[:, :, :3, :4])
    counts = np.bincount(top * 3 + left, minlength=9)
    assert len(counts) == 9
    assert ((counts - 6000 / 9) ** 2 / (6000 / 9)).sum() < 26.1  # chi-squared of 8 degrees, 0.1 %


def test_crops_with_a_border():
    y = T.RandomCrop(12, pad_if_needed=True)(COLOUR, 0)
    assert y.shape == (5, 3, 12, 12)
    np.testing.assert_allclose(y.sum((1, 2, 3)), COLOUR.sum((1, 2, 3)), rtol=1e-5)  # all pixels and zeros
    centre = T.CenterCrop((5, 10))(COLOUR)
    np.testing.assert_array_equal(centre, np.pad(COLOUR, ((0, 0), (0, 0), (0, 0), (1, 2)))[:, :, 2:7])
    shifted = T.RandomShift((1, 2))(COLOUR, 3)
    wide = np.pad(COLOUR, ((0, 0), (0, 0), (1, 1), (2, 2)))
    for image, source in zip(shifted, wide, strict=True):
        assert any(
            np.array_equal(image, source[:, i : i + 9, j : j + 7]) for i, j in itertools.product(range(3), range(5))
        )


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("size", [(5, 4), (18, 21), (3, 20), (9, 7), (1, 1)])
def test_resize_against_torch(size, mode, antialias):
    torch = pytest.importorskip("torch")
    x = RNG.random((2, 3, 9, 7))
    kwargs = {} if mode == "nearest" else {"align_corners": False, "antialias": antialias}
    wanted = torch.nn.functional.interpolate(torch.from_numpy(x), size, mode=mode, **kwargs).numpy()
    np.testing.assert_allclose(T.Resize(size, mode, antialias=antialias)(x), wanted, atol=1e-12)


def test_resize_by_the_shorter_side():
    assert T.Resize(14)(COLOUR).shape[2:] == (18, 14)
    assert T.Resize([14])(COLOUR).shape[2:] == (18, 14)
    assert T.Resize(14)(COLOUR.swapaxes(2, 3)).shape[2:] == (14, 18)
    assert T.Resize(14, max_size=16)(COLOUR).shape[2:] == (12, 16)[::-1]


def test_random_resized_crop():
    from pydl.data.transforms.draws import as_draws

    transform = T.RandomResizedCrop(8, scale=(0.2, 0.6), ratio=(0.5, 2.0))
    top, left, height, width = transform.boxes(100, 80, as_draws(1, 3000))
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + height <= 100).all() and (left + width <= 80).all()
    share, ratio = height * width / 8000, width / height
    assert share.min() > 0.19 and share.max() < 0.61 and ratio.min() > 0.48 and ratio.max() < 2.1
    x = RNG.random((3000, 1, 10, 8))
    boxes = transform.boxes(10, 8, as_draws(2, 3000))
    got, resize = transform(x, 2), T.Resize((8, 8))
    for k in range(20):
        t, j, h, w = (v[k] for v in boxes)
        np.testing.assert_allclose(got[k], resize(x[k, :, t : t + h, j : j + w]), atol=1e-12)
    wide = T.RandomResizedCrop(4, scale=(1.0, 1.0), ratio=(1.0, 1.0)).boxes(4, 9, as_draws(0, 2))
    assert [v.tolist() for v in wide] == [[0, 0], [2, 2], [4, 4], [4, 4]]  # none fits: the central square


# ---------------------------------------------------------------- warps


def smooth(x, y):
    """A picture that is given everywhere."""
    return np.sin(0.11 * x) * np.cos(0.07 * y) + 0.002 * x * y


def test_affine_against_the_analytic_warp():
    h, w = 61, 53
    ys, xs = np.mgrid[:h, :w]
    xs, ys = xs - (w - 1) / 2, ys - (h - 1) / 2
    angle, (tx, ty), zoom, (sx, sy) = 17.0, (2.5, -1.25), 1.3, (9.0, -6.0)
    rotation, a, b = np.deg2rad([angle, sx, sy])
    turn = np.array([[np.cos(rotation), -np.sin(rotation)], [np.sin(rotation), np.cos(rotation)]])
    shear_y = np.array([[1, 0], [-np.tan(b), 1]])
    shear_x = np.array([[1, -np.tan(a)], [0, 1]])
    forward = zoom * turn @ shear_y @ shear_x  # input to output coordinates
    back = np.linalg.inv(forward) @ np.stack([xs.ravel() - tx, ys.ravel() - ty])
    wanted = smooth(*back).reshape(h, w)
    got = T.affine(smooth(xs, ys)[None, None], angle, (tx, ty), zoom, (sx, sy), "bilinear")[0, 0]
    within = (np.abs(back[0]) < (w - 1) / 2) & (np.abs(back[1]) < (h - 1) / 2)
    assert within.mean() > 0.6
    error = np.abs(got - wanted).ravel()[within]
    assert error.max() < 0.11**2 / 8 + 0.07**2 / 8 + 1e-9  # of linear interpolation: second derivatives / 8
    linear = T.affine((xs * 2 - ys)[None, None], angle, (tx, ty), zoom, (sx, sy), "bilinear")[0, 0]
    wanted = (back[0] * 2 - back[1])[within]
    np.testing.assert_allclose(linear.ravel()[within], wanted, atol=1e-9)  # exact for planes


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_affine_against_torch(mode):
    torch = pytest.importorskip("torch")
    from pydl.data.transforms.affine import inverse_matrix

    x, n = RNG.random((5, 3, 9, 7)), 5
    angle, scale = RNG.uniform(-50, 50, n), RNG.uniform(0.6, 1.5, n)
    translate, shear = RNG.uniform(-3, 3, (n, 2)), RNG.uniform(-20, 20, (n, 2))
    matrix = inverse_matrix(angle, translate, scale, shear, np.array([0.5, -1.0]))
    halves = np.array([7, 9]) / 2
    theta = matrix.copy()  # PyTorch's coordinates run from -1 to 1
    theta[:, :, :2] *= halves[None, None, :] / halves[None, :, None]
    theta[:, :, 2] /= halves
    grid = torch.nn.functional.affine_grid(torch.from_numpy(theta), [n, 3, 9, 7], align_corners=False)
    wanted = torch.nn.functional.grid_sample(torch.from_numpy(x), grid, mode, "zeros", align_corners=False).numpy()
    got = T.affine(x, angle, translate, scale, shear, mode, center=(4.0, 3.5))
    np.testing.assert_allclose(got, wanted, atol=1e-12)


def test_quarter_turns_and_whole_shifts_are_exact():
    x = RNG.random((2, 3, 8, 8))
    for interpolation in ("nearest", "bilinear"):
        turned = T.RandomRotation((90, 90), interpolation)(x)
        np.testing.assert_allclose(turned, np.rot90(x, axes=(2, 3)), atol=1e-12)  # anticlockwise
        clockwise = T.RandomAffine((90, 90), interpolation=interpolation)(x)
        np.testing.assert_allclose(clockwise, np.rot90(x, -1, (2, 3)), atol=1e-12)
        moved = T.affine(x, translate=(2, 1), interpolation=interpolation, fill=(7, 8, 9))
        np.testing.assert_allclose(moved[:, :, 1:, 2:], x[:, :, :-1, :-2], atol=1e-12)
        np.testing.assert_allclose(moved[0, :, 0, 0], [7, 8, 9])
    np.testing.assert_array_equal(T.RandomAffine(0)(x), x)


def test_random_affine_stays_in_its_ranges():
    x = np.zeros((400, 1, 41, 41))
    x[:, 0, 20, 20] = 1.0
    moved = T.RandomAffine(0, (0.2, 0.1))(x, 5)
    row, column = np.divmod(moved.reshape(400, -1).argmax(1), 41)
    assert set((column - 20).tolist()) == set(range(-8, 9)) and set((row - 20).tolist()) == set(range(-4, 5))
    square = np.zeros((300, 1, 40, 40))
    square[:, :, 10:30, 10:30] = 1.0
    area = T.RandomAffine(0, scale=(0.5, 1.5), interpolation="bilinear")(square, 6).sum((1, 2, 3))
    zoom = np.sqrt(area / 400)
    assert 0.49 < zoom.min() < 0.55 and 1.45 < zoom.max() < 1.51


# ---------------------------------------------------------------- holes


@pytest.mark.parametrize("side", [3, 4])
def test_cutout_has_the_expected_area(side):
    n, size = 20000, 12
    holes = (T.Cutout(side, value=1)(np.zeros((n, 1, size, size)), 3) == 1).sum((1, 2, 3))
    covered = [min(c - side // 2 + side, size) - max(c - side // 2, 0) for c in range(size)]
    mean, square = np.mean(covered), np.mean(np.square(covered))
    deviation = np.sqrt(square**2 - mean**4)
    assert abs(holes.mean() - mean**2) < 4 * deviation / np.sqrt(n)
    assert holes.max() == side**2


def test_random_erasing_has_the_expected_shapes():
    from pydl.data.transforms.draws import as_draws

    erase = T.RandomErasing(0.7, scale=(0.05, 0.3), ratio=(0.5, 2))
    top, left, h, w = erase.boxes(64, 80, as_draws(1, 4000))
    erased = h > 0
    assert abs(erased.mean() - 0.7) < 4 * np.sqrt(0.21 / 4000)
    share, ratio = (h * w / 5120)[erased], h[erased] / w[erased]
    assert share.min() > 0.045 and share.max() < 0.31 and ratio.min() > 0.45 and ratio.max() < 2.2
    assert abs(share.mean() - 0.175) < 0.005
    assert (top >= 0).all() and (top + h <= 64).all() and (left >= 0).all() and (left + w <= 80).all()
    y = T.RandomErasing(1, value=(1, 2, 3))(np.zeros((4, 3, 9, 9)), 1)
    for image in y:
        assert image.max((1, 2)).tolist() == [1, 2, 3]
    noise = T.RandomErasing(1, scale=(0.2, 0.3), value="random")(np.zeros((300, 1, 16, 16)), 1)
    values = noise[noise != 0]
    assert abs(values.mean()) < 0.05 and abs(values.std() - 1) < 0.05


# ---------------------------------------------------------------- conversion


def test_to_tensor_and_normalize():
    raw = RNG.integers(0, 256, (4, 6, 3)).astype(np.uint8)
    tensor = T.ToTensor()(raw)
    assert tensor.shape == (3, 4, 6) and tensor.dtype == pydl.float32
    np.testing.assert_allclose(tensor.numpy(), raw.transpose(2, 0, 1) / 255, atol=1e-7)
    assert T.ToTensor()(raw[..., 0]).shape == (1, 4, 6)
    assert T.ToTensor()(raw[None]).shape == (1, 3, 4, 6)
    floats = T.ToTensor()(raw.astype(float))
    assert floats.dtype == pydl.float64 and floats.numpy().max() == raw.max()
    normal = T.Normalize((0.1, 0.2, 0.3), (1.0, 2.0, 4.0))(tensor)
    wanted = (tensor.numpy() - np.array([0.1, 0.2, 0.3])[:, None, None]) / np.array([1, 2, 4])[:, None, None]
    np.testing.assert_allclose(normal.numpy(), wanted, atol=1e-6)
    chain = T.Compose([T.ToTensor(16), T.Normalize(Digits.mean, Digits.std), T.Lambda(lambda x: x * 2), abs])
    image, _ = Digits(transform=chain)[0]
    np.testing.assert_allclose(image.numpy()[0], np.abs(Digits().data[0] / 16 - 0.3051) / 0.3762 * 2, rtol=1e-5)


BAD = [
    (lambda: T.RandomHorizontalFlip(1.5), ArgumentError, "p must be between 0 and 1"),
    (lambda: T.RandomCrop(0), ArgumentError, "size must be a number >= 1"),
    (lambda: T.RandomCrop((1, 2, 3)), ArgumentError, "size must be"),
    (lambda: T.Pad(-1), ArgumentError, "padding must be"),
    (lambda: T.Pad(1, padding_mode="mirror"), ArgumentError, "padding_mode must be one of"),
    (lambda: T.RandomCrop(20)(COLOUR), ShapeError, "does not fit an image of 9x7"),
    (lambda: T.Pad(8, padding_mode="reflect")(COLOUR), ShapeError, "too wide for .reflect. on an image of 9x7"),
    (lambda: T.Pad(1, (1, 2))(COLOUR), ShapeError, "to fill 3 channels"),
    (lambda: T.Resize(8, "bicubic"), ArgumentError, "interpolation must be"),
    (lambda: T.Resize(8, max_size=8), ArgumentError, "max_size 8"),
    (lambda: T.Resize(8)(np.zeros((0, 3))), ShapeError, "no pixels"),
    (lambda: T.RandomResizedCrop(8, scale=(0, 1)), ArgumentError, "scale must be"),
    (lambda: T.RandomRotation(-3), ArgumentError, "degrees must be"),
    (lambda: T.RandomRotation(float("nan")), ArgumentError, "degrees must be"),
    (lambda: T.RandomAffine(0, (2, 0)), ArgumentError, "translate must be"),
    (lambda: T.RandomAffine(0, scale=(0, 1)), ArgumentError, "scale must be > 0"),
    (lambda: T.affine(COLOUR, scale=-1), ArgumentError, "scale must be > 0"),
    (lambda: T.ColorJitter(-1), ArgumentError, "brightness must be"),
    (lambda: T.ColorJitter(hue=0.6), ArgumentError, "hue must be"),
    (lambda: T.ColorJitter(0.1)(COLOUR[:, :2]), ShapeError, "2 channels: expected 1 or 3"),
    (lambda: T.PCAColor()(COLOUR[:, :1]), ShapeError, "expected 3"),
    (lambda: T.PCAColor(components=np.eye(2)), ShapeError, r"expected \(3, 3\)"),
    (lambda: T.PCAColor.fit(COLOUR[0, 0]), ShapeError, "PCAColor"),
    (lambda: T.Cutout(3, holes=0), ArgumentError, "holes must be"),
    (lambda: T.RandomErasing(value="noise"), ArgumentError, "value must be"),
    (lambda: T.RandomErasing(ratio=(0, 1)), ArgumentError, "ratio must be"),
    (lambda: T.Normalize(0, 0), ArgumentError, "std must be > 0"),
    (lambda: T.Normalize((0, 0), 1)(COLOUR), ShapeError, "2 means"),
    (lambda: T.Normalize(0, 1)(np.zeros((3, 3), np.uint8)), DtypeError, "uint8"),
    (lambda: T.Compose([3]), ArgumentError, "expected transforms"),
    (lambda: T.Lambda(3), ArgumentError, "expected a function"),
    (lambda: T.RandomApply([T.RandomCrop(3)])(COLOUR), ShapeError, "expected the same"),
    (lambda: T.Grayscale(2), ArgumentError, "must be 1 or 3"),
    (lambda: T.ToTensor(0), ArgumentError, "white must be"),
]


@pytest.mark.parametrize(("act", "error", "text"), BAD)
def test_errors(act, error, text):
    with pytest.raises(error, match=text):
        act()
