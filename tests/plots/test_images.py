import pytest
import torch

from graphdl.errors import SettingError, ShapeError
from graphdl.plots import plot_images


@pytest.mark.parametrize("shape", [(5, 4, 6), (5, 1, 4, 6), (1, 1, 1), (40, 8, 8)])
def test_images_are_drawn(shape, tmp_path):
    path = plot_images(tmp_path / "new" / "sheet.png", torch.rand(shape), columns=3)
    assert path.stat().st_size > 100


def test_a_row_has_so_many_images(tmp_path):
    image = pytest.importorskip("matplotlib.image")
    height, width, _ = image.imread(plot_images(tmp_path / "sheet.png", torch.rand(12, 8, 8), columns=6)).shape
    margins = 2 * 15  # pixels around the sheet
    assert width - margins == pytest.approx(3 * (height - margins), rel=0.02)


def test_the_darkest_and_the_lightest_image(tmp_path):
    image = pytest.importorskip("matplotlib.image")
    shades = torch.tensor([0.0, 1.0])[:, None, None].expand(2, 8, 8)
    sheet = image.imread(plot_images(tmp_path / "sheet.png", shades, columns=2))
    height, width, _ = sheet.shape
    assert sheet[height // 2, width // 4, :3].max() < 0.01
    assert sheet[height // 2, 3 * width // 4, :3].min() > 0.99


@pytest.mark.parametrize("shape", [(8, 8), (5, 3, 8, 8), (0, 8, 8)])
def test_other_shapes_are_refused(shape, tmp_path):
    with pytest.raises(ShapeError, match=r"draws images \(n, h, w\) or \(n, 1, h, w\), and these have the shape \("):
        plot_images(tmp_path / "sheet.png", torch.zeros(shape))


@pytest.mark.parametrize("columns", [0, 2.5])
def test_columns_are_a_whole_number(columns, tmp_path):
    with pytest.raises(SettingError, match=f"columns must be a whole number of at least 1, not {columns}"):
        plot_images(tmp_path / "sheet.png", torch.zeros(2, 8, 8), columns=columns)


def test_colours_are_a_colour_map_or_its_name(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    images = torch.rand(2, 8, 8)
    by_name = plot_images(tmp_path / "name.png", images, colours="viridis").read_bytes()
    assert plot_images(tmp_path / "map.png", images, colours=matplotlib.colormaps["viridis"]).read_bytes() == by_name
    assert plot_images(tmp_path / "gray.png", images).read_bytes() != by_name
    with pytest.raises(SettingError, match=r"colours must be a colour map of matplotlib, .* not \['gray'\]"):
        plot_images(tmp_path / "sheet.png", images, colours=["gray"])
