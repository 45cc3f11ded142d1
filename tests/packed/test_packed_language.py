"""The packed language model: the same logits as PyTorch's float64, the same text, and a file that is checked."""

from functools import partial

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import bnn_tutorial as bnn
from bnn_tutorial import language
from bnn_tutorial.packed import files
from bnn_tutorial.packed.language import FORMAT, Matrix, PackedLanguageModel, Product, load_pretrained

RANDOM = np.random.default_rng(0)
SMALL = partial(
    language.LanguageModel, embedding_map=bnn.quantised_linear, width=36, blocks=2, heads=3, context=8
)  # 36: no multiple of 5, of 8 or of 64


def model(forward_map=bnn.ternary_linear, **options):
    return SMALL(forward_map, **options, generator=torch.Generator().manual_seed(0)).double()


def logits(packed, tokens):
    return np.stack(list(packed.read(tokens.tolist())))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (7, 64), (11, 131)])
def test_sums_are_the_products_of_whole_numbers(rows, columns):
    levels = RANDOM.integers(-1, 2, (rows, columns)).astype(np.int16)
    features = RANDOM.integers(-128, 128, columns).astype(np.int8)
    features[0] = -128
    assert np.array_equal(Product(Matrix(levels, np.ones(1), None)).sums(features), levels @ features.astype(int))


@pytest.mark.parametrize("forward_map", [bnn.ternary_linear, language.centred_binary_linear])
def test_packed_logits_are_those_of_pytorch_in_float64(forward_map, generator):
    network, tokens = model(forward_map), torch.randint(62, (30,), generator=generator)
    expected = network(tokens[None])[0].detach().numpy()
    assert np.abs(logits(PackedLanguageModel.from_model(network), tokens) - expected).max() < 1e-12


def test_the_same_text_is_written_by_pytorch_and_by_the_packed_model():
    network = model()
    expected = language.generate(network, "KING", 200, temperature=0)
    assert PackedLanguageModel.from_model(network).generate("KING", 200, temperature=0) == expected


@pytest.mark.slow
def test_the_model_in_the_package_writes_2000_characters_as_pytorch_does():
    packed = load_pretrained()
    expected = language.generate(packed.to_pytorch(), "KING LEAR:\n", 2000, temperature=0)
    assert packed.generate("KING LEAR:\n", 2000, temperature=0) == expected


def test_the_weights_in_pytorch_give_the_same_logits(generator):
    packed, tokens = PackedLanguageModel.from_model(model()), torch.randint(62, (30,), generator=generator)
    with torch.no_grad():
        assert np.abs(packed.to_pytorch()(tokens[None])[0].numpy() - logits(packed, tokens)).max() < 1e-12


def test_ternary_weights_lie_five_to_a_byte_in_the_file():
    stored = PackedLanguageModel.from_model(model()).tensors()
    assert stored["blocks.0.contract.weight"].shape == (36, 29)  # 144 columns
    assert stored["embed.weight"].shape == (36, 62)


def test_a_saved_model_writes_the_same_and_says_where_it_comes_from(tmp_path):
    packed = PackedLanguageModel.from_model(model(), {"seed": "0"})
    packed.save(tmp_path / "model")
    loaded = PackedLanguageModel.load(tmp_path / "model")
    assert loaded.generate("A", 50, 1.0, seed=3) == packed.generate("A", 50, 1.0, seed=3)
    assert (loaded.provenance, loaded.bytes) == ({"seed": "0"}, packed.bytes)


@pytest.mark.parametrize("forward_map", [bnn.ternary_linear, language.centred_binary_linear])
def test_types_and_layouts_of_the_weights_do_not_reach_the_file(forward_map, tmp_path):
    network = model(forward_map).to(torch.bfloat16)
    for layer in network.modules():
        if isinstance(layer, bnn.GenDense):
            layer.weight.data = layer.weight.data.T.contiguous().T
    packed = PackedLanguageModel.from_model(network)
    packed.save(tmp_path / "model")
    loaded = PackedLanguageModel.load(tmp_path / "model")
    assert all(np.array_equal(loaded.tensors()[name], tensor) for name, tensor in packed.tensors().items())


def test_a_changed_byte_is_refused(tmp_path):
    path = tmp_path / "model"
    PackedLanguageModel.from_model(model()).save(path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged: .*does not match its digest"):
        PackedLanguageModel.load(path)


def test_another_file_is_refused(tmp_path):
    save_file({"x": np.zeros(3)}, tmp_path / "other")
    assert load_file(tmp_path / "other")
    with pytest.raises(ValueError, match="found the format None, expected 'bnn_tutorial language model"):
        PackedLanguageModel.load(tmp_path / "other")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forward_map": bnn.linear}, r"blocks\.0\.attend has the forward map .*, expected ternary_linear or centred"),
        ({"embedding_map": bnn.linear}, r"embed has the forward map .*, expected quantised_linear with 8 bits"),
        ({"activation_bits": 4}, "expected activation_bits=8, got 4"),
    ],
)
def test_what_cannot_be_packed_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        PackedLanguageModel.from_model(model(**options))


def test_a_part_with_a_forward_of_its_own_or_weights_of_no_number_are_refused():
    class Louder(bnn.GenDense):
        def forward(self, x):
            return 2 * super().forward(x)

    network = model()
    network.blocks[1].expand.__class__ = Louder
    with pytest.raises(ValueError, match=r"blocks\.1\.expand: expected the forward of GenDense, Louder has its own"):
        PackedLanguageModel.from_model(network)
    network = model()
    network.head.weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="head has weights that are not finite"):
        PackedLanguageModel.from_model(network)


def written(path, **changes):
    """A file with a valid digest that describes something else."""
    packed = PackedLanguageModel.from_model(model())
    shapes = {name: [*m.levels.shape, str(m.bits)] for name, m in packed.matrices.items()}
    network = {"alphabet": language.ALPHABET, "heads": 3, "context": 8, "matrices": shapes | changes.pop("shapes", {})}
    files.write_signed(path, FORMAT, network | changes.pop("network", {}), {}, packed.tensors() | changes)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {"context": 0}}, r"found heads, context and width \[3, 0, 36\]"),
        ({"network": {"context": "x"}}, "found heads, context and width"),
        ({"network": {"heads": 0}}, "found heads, context and width"),
        ({"network": {"heads": 5}}, "found 5 heads for a width of 36"),
        ({"shapes": {"head": [62, 36, "1/0"]}}, "found head of '1/0' bits, expected 8"),
        ({"shapes": {"blocks.0.expand": [144, 36, "8"]}}, r"found blocks\.0\.expand of '8' bits, expected 1 or 8/5"),
        ({"shapes": {"blocks.0.expand": [288, 36, "8/5"]}}, "found matrices of the shapes"),
        ({"shapes": {"blocks.2.expand": [144, 36, "8/5"]}}, "found matrices of the shapes"),
        ({"head.scale": np.full(62, np.nan)}, "found head with scales that are not positive and finite"),
        ({"head.scale": np.ones(61)}, "found head of "),
    ],
)
def test_a_whole_file_of_something_else_is_refused(changes, message, tmp_path):
    assert PackedLanguageModel.load(written(tmp_path / "model")).heads == 3
    path = written(tmp_path / "other", **changes)
    with pytest.raises(ValueError, match=f"other is not a packed language model, or it is damaged: {message}"):
        PackedLanguageModel.load(path)


def test_features_of_another_number_never_reach_the_kernel():
    with pytest.raises(ValueError, match=r"expected int8 of shape \(64,\), got int8 of shape \(70,\)"):
        Product(Matrix(np.ones((2, 64), np.int16), np.ones(1), 1)).sums(np.ones(70, np.int8))


@pytest.mark.parametrize(
    "write", [partial(language.generate, model()), PackedLanguageModel.from_model(model()).generate]
)
def test_as_many_characters_as_asked_for_are_written_or_an_error_says_so(write):
    assert [len(write(prompt, length)) for prompt in ("", "KING") for length in (0, 1, 9)] == [0, 1, 9] * 2
    for length in (-1, 2.5):
        with pytest.raises(ValueError, match="length must be one whole number, at least 0, got"):
            write("KING", length)


def test_the_model_in_the_package_is_the_file_of_the_page():
    from docs.web.make.writer import MODEL, PRETRAINED

    assert PRETRAINED.read_bytes() == MODEL.read_bytes()
    assert load_pretrained().provenance["study"].startswith("study.language")
