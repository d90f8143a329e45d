from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from graphdl.data import ball, disc, line, one_hot, spiral, with_sum_of_squares
from graphdl.errors import SettingError, ShapeError

MANY = 100_000
SETS = [disc, line, spiral, ball]
SHAPES = {ball: (3, 4, 4)}


def share_of_ones(labels):
    return labels.double().mean().item()


@pytest.mark.parametrize("data_set", SETS)
class TestEverySet:
    def test_shapes_and_dtypes(self, data_set):
        x, labels = data_set(n=7, seed=0)
        assert x.shape == (7, *SHAPES.get(data_set, (2,)))
        assert x.dtype == torch.float32
        assert labels.shape == (7,)
        assert labels.dtype == torch.int64

    def test_thousand_points_unless_told_otherwise(self, data_set):
        assert len(data_set()[0]) == 1000

    def test_same_seed_same_numbers(self, data_set):
        for first, second in zip(data_set(seed=3), data_set(seed=3), strict=True):
            assert torch.equal(first, second)

    def test_other_seed_other_numbers(self, data_set):
        assert not torch.equal(data_set(seed=3)[0], data_set(seed=4)[0])

    def test_seed_leaves_the_global_generator_alone(self, data_set):
        before = torch.get_rng_state()
        data_set(seed=3)
        assert torch.equal(torch.get_rng_state(), before)

    def test_without_seed_draws_from_the_global_generator(self, data_set):
        torch.manual_seed(5)
        x, following = data_set()[0], data_set()[0]
        torch.manual_seed(5)
        assert torch.equal(data_set()[0], x)
        assert not torch.equal(x, following)

    def test_points_are_independent_of_the_default_dtype(self, data_set):
        expected, _ = data_set(seed=3)
        torch.set_default_dtype(torch.float64)
        try:
            x, _ = data_set(seed=3)
        finally:
            torch.set_default_dtype(torch.float32)
        assert torch.equal(x, expected)

    @pytest.mark.parametrize("n", [0, -1, 2.0, True, "3"])
    def test_bad_n(self, data_set, n):
        with pytest.raises(SettingError, match=rf"^n is {n!r}: give a whole number of at least \d\.$"):
            data_set(n=n)

    @pytest.mark.parametrize("seed", [-1, 2**63, 0.5])
    def test_bad_seed(self, data_set, seed):
        with pytest.raises(SettingError, match=r"^seed is .*: give a whole number from 0 to 9223372036854775807"):
            data_set(seed=seed)

    def test_numpy_integers_are_whole_numbers(self, data_set):
        assert torch.equal(data_set(n=np.int64(9), seed=np.int32(3))[0], data_set(n=9, seed=3)[0])


class TestDisc:
    def test_points_fill_the_unit_square(self):
        x, _ = disc(n=MANY, seed=0)
        assert x.min() >= 0
        assert x.max() < 1
        assert torch.allclose(x.mean(dim=0), torch.tensor(0.5), atol=5e-3)
        assert torch.allclose(x.var(dim=0), torch.tensor(1 / 12), atol=2e-3)
        assert abs(torch.corrcoef(x.T)[0, 1]) < 0.01

    def test_label_is_inside(self):
        x, labels = disc(n=MANY, centre=(0.3, 0.6), seed=0)
        distance = torch.hypot(x[:, 0].double() - 0.3, x[:, 1].double() - 0.6)
        radius = 1 / math.sqrt(2 * math.pi)
        clear = (distance - radius).abs() > 1e-6
        assert clear.sum() > MANY - 10
        assert torch.equal(labels[clear] == 1, (distance < radius)[clear])

    def test_centred_holds_half(self):
        assert share_of_ones(disc(n=MANY, seed=0)[1]) == pytest.approx(1 / 2, abs=6e-3)

    def test_at_the_origin_holds_an_eighth(self):
        assert share_of_ones(disc(n=MANY, centre=(0, 0), seed=0)[1]) == pytest.approx(1 / 8, abs=4e-3)

    def test_centre_does_not_change_the_points(self):
        assert torch.equal(disc(seed=1)[0], disc(centre=(0.0, 0.0), seed=1)[0])

    @pytest.mark.parametrize("centre", [0.5, (0.5,), (0.1, 0.2, 0.3), None])
    def test_centre_is_no_point(self, centre):
        with pytest.raises(SettingError, match=r"^centre is .*: give the two coordinates of a point"):
            disc(centre=centre)

    @pytest.mark.parametrize("centre", [(0.5, math.nan), (math.inf, 0.5), "ab"])
    def test_centre_is_not_finite(self, centre):
        with pytest.raises(SettingError, match=r"^A coordinate of centre is .*: give a finite number\.$"):
            disc(centre=centre)


class TestLine:
    def test_points_are_standard_normal(self):
        x, _ = line(n=MANY, seed=0)
        assert torch.allclose(x.mean(dim=0), torch.zeros(2), atol=0.02)
        assert torch.allclose(torch.cov(x.T), torch.eye(2), atol=0.02)

    @pytest.mark.parametrize("slope", [4.0, -0.5, 0])
    def test_label_is_above(self, slope):
        x, labels = line(n=MANY, slope=slope, seed=0)
        assert torch.equal(labels == 1, x[:, 1] > slope * x[:, 0])
        assert share_of_ones(labels) == pytest.approx(1 / 2, abs=6e-3)

    def test_slope_is_four_unless_told_otherwise(self):
        assert torch.equal(line(seed=0)[1], line(slope=4.0, seed=0)[1])

    @pytest.mark.parametrize("slope", [math.inf, math.nan, "4", None])
    def test_bad_slope(self, slope):
        with pytest.raises(SettingError, match=r"^slope is .*: give a finite number\.$"):
            line(slope=slope)


class TestSpiral:
    @pytest.mark.parametrize(("n", "classes"), [(1000, 2), (1001, 2), (100, 7), (5, 5)])
    def test_classes_are_balanced(self, n, classes):
        counts = spiral(n=n, classes=classes, seed=0)[1].bincount()
        assert len(counts) == classes
        assert counts.sum() == n
        assert counts.max() - counts.min() <= 1

    def test_rows_are_shuffled(self):
        labels = spiral(n=MANY, seed=0)[1]
        assert share_of_ones(labels[: MANY // 4]) == pytest.approx(1 / 2, abs=0.01)
        assert share_of_ones(labels[::2]) == pytest.approx(1 / 2, abs=0.01)

    @pytest.mark.parametrize(("classes", "turns"), [(2, 1.5), (3, 0.7), (2, -1.0)])
    def test_without_noise_points_lie_on_the_arms(self, classes, turns):
        x, labels = spiral(n=900, classes=classes, turns=turns, noise=0, seed=0)
        radius = x.double().norm(dim=1)
        angle = 2 * math.pi * (turns * radius + labels / classes)
        arms = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
        assert torch.allclose(x.double(), arms, atol=1e-5)

    def test_radius_is_uniform(self):
        radius = spiral(n=MANY, noise=0, seed=0)[0].norm(dim=1)
        assert radius.max() < 1 + 1e-6
        assert radius.mean().item() == pytest.approx(1 / 2, abs=5e-3)
        assert radius.var().item() == pytest.approx(1 / 12, abs=2e-3)

    def test_noise_is_its_standard_deviation(self):
        deviation = spiral(n=MANY, noise=0.1, seed=0)[0] - spiral(n=MANY, noise=0, seed=0)[0]
        assert torch.allclose(deviation.std(dim=0), torch.tensor(0.1), atol=2e-3)
        assert torch.allclose(deviation.mean(dim=0), torch.zeros(2), atol=2e-3)

    def test_no_arm_without_points(self):
        with pytest.raises(SettingError, match=r"^n is 3: give a whole number of at least 4\.$"):
            spiral(n=3, classes=4)

    @pytest.mark.parametrize("classes", [1, 2.5])
    def test_bad_classes(self, classes):
        with pytest.raises(SettingError, match=r"^classes is .*: give a whole number of at least 2\.$"):
            spiral(classes=classes)

    @pytest.mark.parametrize("noise", [-0.1, math.nan, math.inf])
    def test_bad_noise(self, noise):
        with pytest.raises(SettingError, match=r"^noise is .*: give a finite number of at least 0\.$"):
            spiral(noise=noise)

    def test_bad_turns(self):
        with pytest.raises(SettingError, match=r"^turns is inf: give a finite number\.$"):
            spiral(turns=math.inf)


class TestOneHot:
    def test_agrees_with_torch(self):
        labels = torch.tensor([2, 0, 1, 1])
        targets = one_hot(labels, 4)
        assert targets.dtype == torch.float32
        assert torch.equal(targets, torch.nn.functional.one_hot(labels, 4).float())

    def test_soft_targets(self):
        expected = torch.tensor([[0.2, 0.8], [0.8, 0.2]])
        assert torch.equal(one_hot(torch.tensor([1, 0]), 2, low=0.2, high=0.8), expected)

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.bool])
    def test_every_integer_dtype(self, dtype):
        assert torch.equal(one_hot(torch.tensor([1, 0]).to(dtype), 2), torch.eye(2).flip(0))

    def test_any_shape(self):
        assert one_hot(torch.zeros(3, 5, dtype=torch.int64), 2).shape == (3, 5, 2)
        assert one_hot(torch.zeros(0, dtype=torch.int64), 2).shape == (0, 2)

    @pytest.mark.parametrize(("labels", "least", "most"), [([0, 3], 0, 3), ([-1, 1], -1, 1)])
    def test_label_out_of_range(self, labels, least, most):
        text = rf"^labels are from {least} to {most}, but with classes=3 they must be in 0 \.\.\. 2: set more"
        with pytest.raises(SettingError, match=text):
            one_hot(torch.tensor(labels), 3)

    @pytest.mark.parametrize(
        ("labels", "kind"),
        [
            (torch.zeros(2), "are torch.float32: give integers"),
            ([0.5, 1], "are torch.float64: give integers"),
            (torch.zeros(2) * 1j, "holds complex numbers"),
        ],
    )
    def test_labels_are_no_integers(self, labels, kind):
        with pytest.raises(SettingError, match=rf"^labels {kind}"):
            one_hot(labels, 2)

    def test_bad_classes_and_values(self):
        with pytest.raises(SettingError, match=r"^classes is 0: give a whole number of at least 1\.$"):
            one_hot(torch.tensor([0]), 0)
        with pytest.raises(SettingError, match=r"^high is nan: give a finite number\.$"):
            one_hot(torch.tensor([0]), 1, high=math.nan)
        with pytest.raises(SettingError, match=r"^low is inf: give a finite number\.$"):
            one_hot(torch.tensor([0]), 1, low=math.inf)


class TestBall:
    def test_half_of_the_images_are_inside(self):
        x, labels = ball(n=20_000, seed=0)
        assert 0 <= x.min() < 1e-3
        assert 1 - 1e-3 < x.max() < 1
        norms = (x.double() - 0.5).square().sum(dim=(1, 2, 3)).sqrt()
        assert torch.equal(labels, (norms < 2).long())
        assert share_of_ones(labels) == pytest.approx(0.504, abs=0.01)

    def test_in_the_plane_it_is_the_disc(self):
        settings = {"n": 500, "seed": 3}
        for first, second in zip(
            ball(shape=(2,), radius=1 / math.sqrt(2 * math.pi), **settings), disc(**settings), strict=True
        ):
            assert torch.equal(first, second)

    def test_centre_and_radius(self):
        x, labels = ball(n=MANY, shape=[3], radius=0.5, centre=0.0, seed=0)
        assert x.shape == (MANY, 3)
        assert share_of_ones(labels) == pytest.approx(math.pi / 6 * 0.5**3, abs=2e-3)

    @pytest.mark.parametrize("shape", [3, "34", (), (0,), (2.0,)])
    def test_bad_shape(self, shape):
        with pytest.raises(SettingError, match=r"shape"):
            ball(shape=shape)

    def test_bad_radius(self):
        with pytest.raises(SettingError, match=r"^radius is -1: give a finite number of at least 0\.$"):
            ball(radius=-1)


class TestWithSumOfSquares:
    def test_a_column_is_added(self):
        x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        augmented = with_sum_of_squares(x)
        assert augmented.dtype == torch.float64
        assert torch.equal(augmented[:, :4], x)
        assert torch.allclose(augmented[:, 4], x.norm(dim=1) ** 2, atol=1e-12)

    def test_a_plane_separates_the_disc(self):
        x, labels = disc(seed=0)
        plane = (
            torch.tensor([1.0, 1.0, -1.0]),
            0.5 - 1 / (2 * math.pi),
        )  # x + y - (x² + y²) - 1/2 + r² = r² - ||x - c||²
        assert torch.equal((with_sum_of_squares(x) @ plane[0] > plane[1]).long(), labels)

    def test_wrong_inputs(self):
        with pytest.raises(SettingError, match=r"^x is torch\.int64: give a tensor of floating-point numbers"):
            with_sum_of_squares(torch.zeros(3, 2, dtype=torch.long))
        with pytest.raises(ShapeError, match=r"^x has shape \(3,\): give one row for each sample, shape \(n, i\)\.$"):
            with_sum_of_squares(torch.zeros(3))
