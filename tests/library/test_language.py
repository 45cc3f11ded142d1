"""The plays, the language model of GenDense, its rounding, training and writing."""

import hashlib
import tarfile
from functools import partial
from importlib.resources import files

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import bnn_tutorial as bnn
from bnn_tutorial import language

SHA256 = "74b27ad077de8b05ccbbb32715ce2b6a7ec1dade32e54bbffc396c56553120a2"  # as in shakespeare/README.md
SMALL = partial(language.LanguageModel, width=16, blocks=2, heads=2, context=8)


@pytest.fixture(scope="module")
def plays():
    return language.load_shakespeare()


def texts():
    with tarfile.open(files("bnn_tutorial") / "shakespeare" / "plays.tar.xz") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def test_the_plays_are_those_that_the_readme_names():
    found = texts()
    joined = b"".join(found[name] for name in sorted(found))
    assert (len(found), len(joined)) == (38, 4_757_808)
    assert hashlib.sha256(joined).hexdigest() == SHA256
    readme = (files("bnn_tutorial") / "shakespeare" / "README.md").read_text()
    assert SHA256 in readme
    assert "MIT licence" in readme


def test_held_out_plays_are_whole_and_the_model_does_not_train_on_them(plays):
    found = texts()
    lengths = [
        sum(len(found[f"{name}.txt"]) for name in names) for names in (language.TO_CHOOSE_BY, language.TO_REPORT)
    ]
    assert [len(plays.choose), len(plays.report)] == lengths
    assert len(plays.train) == sum(map(len, found.values())) - sum(lengths)
    assert "FESTE" in language.decode(plays.report) or "VIOLA" in language.decode(plays.report)
    assert "VIOLA:" not in language.decode(plays.train)


def test_the_alphabet_is_what_the_plays_have():
    assert sorted(language.ALPHABET.encode()) == sorted(set(b"".join(texts().values())))


def test_decode_is_the_inverse_of_encode():
    assert language.decode(language.encode(language.ALPHABET)) == language.ALPHABET
    with pytest.raises(ValueError, match=r"expected characters of ALPHABET only, got '7€'"):
        language.encode("7€")


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_quantised_tokens_are_whole_multiples_of_a_step_of_their_own(bits, generator):
    x = torch.randn(5, 7, generator=generator).double()
    normal, found = F.layer_norm(x, (7,)), language.quantised_tokens(x, bits)
    step = normal.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1)
    assert torch.allclose(found / step, (normal / step).round(), atol=1e-9)
    assert torch.allclose((found / step).abs().amax(dim=1), torch.full((5,), 2.0 ** (bits - 1) - 1, dtype=torch.double))


def test_the_gradient_of_quantised_tokens_is_that_of_the_norm(generator):
    x = torch.randn(3, 6, generator=generator, dtype=torch.double, requires_grad=True)
    weights = torch.randn(3, 6, generator=generator, dtype=torch.double)
    (expected,) = torch.autograd.grad((F.layer_norm(x, (6,)) * weights).sum(), x)
    for bits in (None, 1, 8):
        (found,) = torch.autograd.grad((language.quantised_tokens(x, bits) * weights).sum(), x)
        assert torch.allclose(found, expected)


def test_the_centred_signs_are_those_of_the_weights_less_their_mean():
    layer = bnn.GenDense(2, 2, forward_map=language.centred_binary_linear, bias=False)
    layer.weight.data = torch.tensor([[1.0, 3.0], [2.0, 6.0]])  # mean 3, mean size 3
    assert layer(torch.eye(2)).T.tolist() == [[-3.0, 3.0], [-3.0, 3.0]]
    assert bnn.weight_bits(layer) == 1


def test_no_character_depends_on_a_later_one_or_on_what_lies_beyond_reach(generator):
    model, tokens = SMALL(generator=generator).double(), torch.randint(62, (1, 40), generator=generator)
    whole, reach = model(tokens), 2 * (8 - 1) + 1
    assert torch.allclose(model(tokens[:, :20]), whole[:, :20])
    assert torch.allclose(model(tokens[:, -reach:])[:, -1], whole[:, -1])
    assert not torch.allclose(model(tokens[:, 1 - reach :])[:, -1], whole[:, -1])


def test_the_forward_map_is_the_only_thing_that_differs(generator):
    ternary, floats = SMALL(generator=generator), SMALL(bnn.linear, None)
    assert {name: p.shape for name, p in ternary.named_parameters()} == {
        name: p.shape for name, p in floats.named_parameters()
    }
    bits = {bnn.weight_bits(module) for module in ternary.blocks.modules() if isinstance(module, bnn.GenDense)}
    assert bits == {bnn.weight_bits(ternary.blocks[0].attend)} != {32}
    assert bnn.weight_bits(ternary.head) == 32


def test_training_lowers_the_loss_and_is_repeatable(plays):
    losses = [
        language.train_language(SMALL(generator=torch.Generator().manual_seed(0)), plays.train, 60, 0.03)
        for _ in range(2)
    ]
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0] - 0.5


def test_nats_are_the_mean_loss_of_every_character_in_the_windows(generator):
    model, tokens = SMALL(generator=generator).double(), torch.randint(62, (25,), generator=generator)
    logits = torch.cat([model(tokens[None, 0:10])[0], model(tokens[None, 10:20])[0]])
    expected = F.cross_entropy(logits, tokens[1:21]).item()
    assert language.nats(model, tokens, 10) == pytest.approx(expected)


def test_writing_at_temperature_0_takes_the_likeliest_character_each_time(generator):
    model, text = SMALL(generator=generator), "KING"
    for character in language.generate(model, "KING", 5, temperature=0):
        logits = model(language.encode(text)[None])[0, -1]
        assert character == language.ALPHABET[logits.argmax()]
        text += character


def test_writing_draws_as_the_shares_say(generator):
    model = SMALL(generator=generator)
    drawn = [language.generate(model, "A", 1, 1.0, generator) for _ in range(1000)]
    shares = model(language.encode("A")[None])[0, -1].softmax(dim=-1).detach().numpy()
    counts = np.array([drawn.count(character) for character in language.ALPHABET])
    assert np.abs(counts / 1000 - shares).max() < 4 * np.sqrt(shares.max() / 1000)
