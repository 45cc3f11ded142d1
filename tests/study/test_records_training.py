"""Long runs: the bfloat16 twin computes what its network computes, distortions do as they say, a stop costs nothing."""

from functools import partial

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from networks import shaken
from torch import nn

import bnn_tutorial as bnn
from bnn_tutorial import packed
from study import recipes, records_long, records_training
from study.records_distortion import distorted
from study.records_fast import Fast, Pool, PooledStem
from study.records_training import LongRun


@pytest.fixture
def whole_numbers(generator):
    """Small ones, exact in bfloat16, few of them equal."""
    return partial(torch.randint, -99, 99, generator=generator, dtype=torch.float32)


def gradients(function, *inputs):
    inputs = [x.clone().requires_grad_() for x in inputs]
    y = function(*inputs)
    return [y, *torch.autograd.grad((y * torch.arange(y.numel()).view_as(y)).sum(), inputs)]


def test_a_stem_is_a_convolution_and_its_pooling(generator):
    images, weight = torch.rand(3, 11, 11, generator=generator), torch.randn(2, 4, 4, generator=generator)
    expected = gradients(lambda w: F.max_pool2d(F.conv2d(images[:, None], w[:, None]), 2), weight)
    stem = gradients(lambda w: PooledStem.apply(images, w).view(3, 4, 4, 2).permute(0, 3, 1, 2), weight)
    assert all(torch.allclose(a, b, rtol=1e-4) for a, b in zip(stem, expected, strict=True))


def test_pooling_with_channels_last_is_pooling(whole_numbers):
    x = whole_numbers((2, 6, 4, 3))
    expected = gradients(lambda x: F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1), x)
    assert all(map(torch.equal, gradients(Pool.apply, x), expected))


SMALL = [
    partial(records_training.convnet, [(6, 5, 0, 2), (8, 3, 0, 2), (7, 3, 0, 1)]),
    partial(records_training.convnet, [(6, 5, 2, 2), (8, 3, 1, 1), (7, 3, 1, 2)]),
]


@pytest.mark.parametrize("build", SMALL)
def test_the_twin_computes_what_the_network_computes(build, full, generator):
    network, pixels = build(generator=generator).train(), bnn.scale_pixels(full.train_images[:64])
    twin = Fast(network)
    logits, expected = twin(pixels), network(pixels)
    assert F.cosine_similarity(logits.flatten(), expected.flatten(), dim=0) > 0.995
    assert torch.equal(twin.eval()(pixels), network(pixels))


@pytest.mark.parametrize("build", SMALL)
def test_the_twin_has_the_networks_gradients(build, full, generator):
    network, pixels = build(generator=generator).train(), bnn.scale_pixels(full.train_images[:64])
    found, expected = (
        torch.autograd.grad(F.cross_entropy(model(pixels), full.train_labels[:64]), list(network.parameters()))
        for model in (Fast(network), network)
    )
    for a, b in zip(found, expected, strict=True):
        assert F.cosine_similarity(a.flatten(), b.flatten(), dim=0) > 0.95


def test_without_strength_nothing_is_distorted(full):
    pixels = bnn.scale_pixels(full.train_images[:16])
    assert torch.allclose(distorted(pixels, 0, 0, 0, 0, 0), pixels, atol=1e-4)


@pytest.mark.parametrize(
    "change", [{"degrees": 10}, {"translate": 2}, {"scale": 0.2}, {"shear": 0.2}, {"elastic": 1}], ids=str
)
def test_each_distortion_moves_what_it_should(change):
    ramp = torch.linspace(0, 27, 28).repeat(64, 28)  # a pixel's value is its column
    none = dict.fromkeys(("degrees", "translate", "scale", "shear", "elastic"), 0)
    torch.manual_seed(0)
    moved = (distorted(ramp, **none | change) - ramp).view(64, 28, 28)[:, 5:-5, 5:-5]
    center, corner = moved[:, 8:10, 8:10].mean(dim=(1, 2)).std(), moved[:, 0, 0].std()
    assert 0.5 < corner < 2
    assert (center > 0.5) == (change.keys() <= {"translate", "elastic"})


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(records_training, "CHECKPOINTS", tmp_path)
    config = recipes.changed(records_training.CONVNET, epochs=2, batch_size=50).config
    return LongRun(config, SMALL[0])


@pytest.mark.parametrize("optimizer", [bnn.adam, records_training.Muon])
def test_a_run_that_was_stopped_ends_with_the_same_network(optimizer, run, tiny, monkeypatch):
    run = recipes.changed(run, optimizer=optimizer)
    keep = records_training.Checkpoint.keep
    monkeypatch.setattr(records_training.Checkpoint, "keep", lambda *args: keep(*args) or exit())
    with pytest.raises(SystemExit):
        run.train(0, tiny)
    monkeypatch.setattr(records_training.Checkpoint, "keep", keep)
    _, resumed = run.train(0, tiny)
    monkeypatch.setattr(records_training, "CHECKPOINTS", records_training.CHECKPOINTS / "another")
    _, whole = run.train(0, tiny)
    assert all(map(torch.equal, resumed.state_dict().values(), whole.state_dict().values()))


def test_muon_moves_a_matrix_in_all_directions_alike(generator):
    layer = bnn.GenDense(20, 10, forward_map=bnn.binary_linear, generator=generator)
    before, optimizer = layer.weight.detach().clone(), records_training.Muon(layer, 0.1)
    layer(torch.randn(30, 20, generator=generator)).square().mean().backward()
    optimizer.step()
    values = torch.linalg.svdvals(layer.weight - before)
    assert values.max() < 2 * values.min()
    assert (layer.bias != 0).all()


@pytest.mark.parametrize(("name", "recipe"), (records_long.CANDIDATES | records_long.RECIPES).items())
def test_every_network_keeps_to_its_bytes(name, recipe):
    limit = records_long.BYTES[name.partition(", ")[0]]
    assert 0.9 * limit < bnn.summary(recipe.build()).loc["total", "bytes_packed"] <= limit


@pytest.mark.parametrize("kind", records_long.BYTES)
def test_the_packed_network_names_the_same_classes(kind, full, generator):
    network = shaken(records_long.CANDIDATES[f"{kind}, base"].build(generator=generator), generator).double()
    images, layers = full.test_images[:100], list(network)
    with torch.no_grad():
        expected = network(bnn.scale_pixels(images).double()).argmax(dim=1)
        if isinstance(layers[0], records_training.HalfSize):
            images = (255 * layers.pop(0)(bnn.scale_pixels(images))).round().to(torch.uint8)
    packed_network = packed.PackedNetwork.from_model(nn.Sequential(*layers))
    assert packed_network.predict(images.numpy()).tolist() == expected.tolist()


def test_half_the_side_is_the_mean_of_four_pixels_rounded_up_from_the_half():
    images = torch.tensor([[0, 1], [1, 0]], dtype=torch.uint8).repeat(14, 14).view(1, 784)
    half = records_training.HalfSize()(bnn.scale_pixels(images))
    assert half.shape == (1, 196)
    assert torch.allclose(half, torch.full_like(half, 0.5 / 255))
    assert torch.equal(records_training.HalfSize().eval()(bnn.scale_pixels(images)), torch.full_like(half, 1 / 255))


def test_every_window_is_seen_with_the_same_weights(generator):
    first = records_training.shared_windows((6, 5), (7,), generator=generator)[:4].eval()
    images = torch.rand(2, 784, generator=generator)
    moved = images.view(2, 28, 28).roll((4, 4), dims=(1, 2)).flatten(1)  # by one window of 14x14 pixels
    here, there = first(images), first(moved)
    assert here.shape == (2, 5, 5, 5)
    assert torch.allclose(here[:, :, 1:3, 1:3], there[:, :, 2:4, 2:4])


@pytest.mark.parametrize("distilled", [False, True])
def test_a_teachers_soft_targets_replace_the_labels_in_a_distilled_run_only(distilled, run, tiny):
    targets = []

    def loss(logits, y):
        targets.append(y)
        return bnn.cross_entropy(logits, y)

    teacher = bnn.binary_mlp((784, 10), generator=torch.Generator().manual_seed(0))
    run = run._replace(build=partial(records_training.half_size_mlp, 8))
    recipes.changed(run, epochs=1, distilled=distilled, loss=loss, temperature=2.0).train(0, tiny, teacher)
    assert {y.dim() for y in targets} == {1 + distilled}
    if distilled:
        assert all(torch.allclose(y.sum(dim=1), torch.ones(len(y))) for y in targets)


def test_tries_were_scored_on_held_out_images_with_their_settings():
    table = pd.read_csv(records_long.CHOICES)
    assert set(table["data"]) == {"MNIST, held out"}
    assert table["settings"].tolist() == [records_long.CANDIDATES[name].settings() for name in table["name"]]
