"""Convolutions in numbers and pictures; hooks that look into a net."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from architectures import baseline
from benchmark.data import scenes
from benchmark.reporting import convolutions, example_net
from benchmark.reporting.figures import png
from stages import convolve

IMAGE = torch.from_numpy(scenes.scene("airplane", np.random.default_rng(0)))
IMAGE = IMAGE.permute(2, 0, 1).float() / 255


def test_the_blur_is_the_mean_of_the_neighbours():
    blurred = F.conv2d(IMAGE[None], convolutions.BLUR / 3)[0, 0]
    assert blurred.shape == (30, 30)
    assert blurred[4, 7].item() == pytest.approx(
        IMAGE[:, 4:7, 7:10].mean().item(), rel=1e-5
    )


def test_only_vertical_edges_are_detected():
    half = torch.zeros(1, 3, 8, 8)
    half[..., 4:] = 1
    found = F.conv2d(half, convolutions.VERTICAL_EDGES)[0, 0]
    assert found[:, 2:4].eq(9).all() and found[:, :2].eq(0).all()
    assert F.conv2d(half.mT, convolutions.VERTICAL_EDGES).eq(0).all()


@pytest.mark.parametrize(
    ("draw", "sizes"),
    [
        (convolutions.kernels, [(32, 32), (30, 30), (30, 30)]),
        (convolutions.padding, [(32, 32), (30, 30), (32, 32)]),
        (convolutions.downsampling, [(32, 32), (16, 16), (16, 16), (16, 16)]),
    ],
)
def test_the_pictures_show_what_was_computed(draw, sizes):
    figure = draw(IMAGE)
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert [each.shape[:2] for each in shown] == sizes
    assert png(figure)[:4] == b"\x89PNG"


def test_downsampling_keeps_the_largest_the_mean_or_the_first():
    figure = convolutions.downsampling(IMAGE)
    largest, mean, strided = (a.images[0].get_array() for a in figure.axes[1:])
    four = IMAGE[0, :2, :2]
    assert largest[0, 0, 0] == four.max()
    assert mean[0, 0, 0] == pytest.approx(four.mean().item())
    assert strided[0, 0, 0] == four[0, 0]
    plt.close(figure)


def test_parameters_of_a_convolution_do_not_grow_with_the_image():
    figure = convolutions.parameters()
    connected, convolution = (line.get_ydata() for line in figure.axes[0].lines)
    assert set(convolution) == {3 * 16 * 9 + 16}
    side = convolutions.SIZES[2]
    assert connected[2] == (3 * side**2 + 1) * 16 * side**2
    plt.close(figure)


def test_hooks_record_and_are_removed():
    torch.manual_seed(0)
    model = baseline.Net(n_classes=2)
    seen = convolutions.look_inside(model, ("conv1", "fc1", "fc2"), IMAGE, label=1)
    assert {name: tuple(each.activation.shape) for name, each in seen.items()} == {
        "conv1": (16, 32, 32), "fc1": (32,), "fc2": (2,),
    }  # fmt: skip
    scores = model(IMAGE[None])
    assert torch.equal(seen["fc2"].activation, scores[0])
    # The gradient of cross-entropy with respect to the scores: softmax minus label.
    expected = scores.softmax(1)[0] - torch.tensor([0.0, 1.0])
    assert torch.allclose(seen["fc2"].gradient, expected, atol=1e-6)
    with pytest.raises(RuntimeError):
        convolutions.look_inside(model, ("conv1",), IMAGE[:, :5], label=1)
    assert not any(module._forward_hooks for module in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_a_mosaic_contains_every_channel():
    values = torch.arange(5 * 2 * 2).float().view(5, 2, 2)
    sheet = convolutions.mosaic(values)
    assert sheet.shape == (5, 8)
    assert np.array_equal(sheet[:2, 3:5], values[1].numpy())
    assert np.isnan(sheet[3:, 6:]).all()
    assert convolutions.mosaic(torch.arange(4.0)).tolist() == [[0, 1], [2, 3]]


def test_layers_and_filters_are_drawn():
    torch.manual_seed(0)
    model = baseline.Net(n_classes=2)
    seen = convolutions.look_inside(model, ("conv1", "fc1"), IMAGE, label=0)
    assert len(convolutions.layers(IMAGE, seen, "a title").axes) == 6
    drawn = convolutions.filters(model.conv1.weight.detach())
    assert sum(bool(axes.images) for axes in drawn.axes) == 16
    plt.close("all")


def test_the_same_bytes_again(workplace, monkeypatch):
    monkeypatch.setattr(example_net, "N_IMAGES", 64)
    monkeypatch.setattr(example_net, "EPOCHS", 1)
    drawn = []
    for _ in range(2):
        example_net.trained.cache_clear()
        convolve.main()
        drawn.append({p.name: p.read_bytes() for p in convolve.GENERATED.iterdir()})
    example_net.trained.cache_clear()
    assert drawn[0] == drawn[1] and len(drawn[0]) == 6
