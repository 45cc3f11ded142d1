"""A language model of ternary weights, small enough to train on a laptop: Shakespeare's plays, a character at a time.

It is nanoGPT's decoder, built of `GenDense`: the forward map says what becomes of the weights. What differs:

- No bias, and before each product a norm without parameters and a rounding to 8 bits, as in BitNet b1.58 (Ma et al.
  2024, arXiv 2402.17764): the sums that run through a transformer have no fixed range.
- The square of ReLU between the two products of a block (Primer, So et al. 2021, arXiv 2109.08668).
- Attention sees `context` characters, the near ones best, by a fixed slope (ALiBi, arXiv 2108.12409), not by places.
"""

from __future__ import annotations

import math
import tarfile
from functools import partial
from importlib.resources import files
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import check_whole
from .forward_maps import ForwardMap, KeptWeights, keeps, linear, ternary_linear
from .layers import GenDense, eval_mode
from .ste import sign, straight_through

ALPHABET = "\n !',-.:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # a character's number is its place here
TO_CHOOSE_BY = ("a-midsummer-night-s-dream", "king-john", "macbeth")  # a comedy, a history and a tragedy
TO_REPORT = ("twelfth-night", "richard-ii", "king-lear")


class Plays(NamedTuple):
    """Shakespeare's plays as (characters,) int64 each: 32 to train on, three to choose by, three to report."""

    train: Tensor
    choose: Tensor
    report: Tensor


def load_shakespeare() -> Plays:
    """The speeches of 38 plays with the speakers' names, which come with the package. No play is cut in two.

    Examples:
        >>> plays = load_shakespeare()
        >>> print(decode(plays.report[-90:-2]))  # King Lear ends
        The oldest hath borne most: we that are young
        Shall never see so much, nor live so long.
    """
    try:
        with tarfile.open(files("bnn_tutorial") / "shakespeare" / "plays.tar.xz", "r:xz") as archive:
            texts = {play.name.removesuffix(".txt"): archive.extractfile(play).read().decode() for play in archive}
    except tarfile.CompressionError as error:
        raise ImportError("the plays lie in an .xz file, and this Python was built without lzma") from error
    rest = [name for name in texts if name not in TO_CHOOSE_BY + TO_REPORT]
    return Plays(*(encode("".join(texts[name] for name in names)) for names in (rest, TO_CHOOSE_BY, TO_REPORT)))


def encode(text: str) -> Tensor:
    """Characters -> (len(text),) int64."""
    if unknown := set(text) - set(ALPHABET):
        raise ValueError(f"expected characters of ALPHABET only, got {''.join(sorted(unknown))!r}: leave them out")
    return torch.searchsorted(torch.tensor([*ALPHABET.encode()]), torch.tensor([*text.encode()]).long())


def decode(tokens: Tensor) -> str:
    return "".join(ALPHABET[token] for token in tokens.tolist())


def centred_binary_weights(weight: Tensor) -> KeptWeights:
    """The signs of W - mean W, with the scale α = mean |W|. Both means are of the whole matrix."""
    return KeptWeights(1, sign(weight - weight.mean()), weight.abs().mean().clamp(min=1e-5))


@keeps(centred_binary_weights)
def centred_binary_linear(layer: nn.Module, x: Tensor) -> Tensor:
    """a = α sign(W - mean W) x + b: the ±1 of BitNet (Wang et al. 2023, equations 1 to 3, arXiv 2310.11453)."""
    kept = centred_binary_weights(layer.weight)
    return F.linear(x, straight_through(kept.scale * kept.levels, layer.weight), layer.bias)


def quantised_tokens(x: Tensor, bits: int | None = 8) -> Tensor:
    """Each token, (..., features), normalised, and rounded to whole multiples of its own step; None: not rounded.

    The step is such that its largest number becomes 2^(bits - 1) - 1. One bit is the sign times the mean size.

    Examples:
        >>> quantised_tokens(torch.tensor([1.0, -1.0, 1.5, -1.5]), bits=3)  # its largest number becomes 3
        tensor([ 0.7845, -0.7845,  1.1767, -1.1767])
    """
    x = F.layer_norm(x, x.shape[-1:])
    if bits is None:
        return x
    if bits == 1:
        return straight_through(sign(x) * x.abs().mean(dim=-1, keepdim=True), x)
    step = x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5) / (2 ** (bits - 1) - 1)
    return straight_through((x / step).round() * step, x)


class Block(nn.Module):
    """Attention, then two products with ReLU² between them. Both add to what came in."""

    def __init__(self, width: int, heads: int, activation_bits: int | None, dense: partial):
        super().__init__()
        self.heads, self.activation_bits = heads, activation_bits
        self.attend, self.project = dense(width, 3 * width), dense(width, width)
        self.expand, self.contract = dense(width, 4 * width), dense(4 * width, width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        quantise = partial(quantised_tokens, bits=self.activation_bits)
        parts = self.attend(quantise(x)).chunk(3, dim=-1)  # (N, T, width)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)  # (N, heads, T, features)
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5 + bias  # (N, heads, T, T)
        x = x + self.project(quantise((scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)))
        return x + self.contract(quantise(self.expand(quantise(x)).relu().square()))


class LanguageModel(nn.Module):
    """(N, T) characters -> (N, T, 62) logits of the character that comes next.

    Args:
        forward_map: of all products but the first and the last.
        activation_bits: of what goes into these products; None: it is only normalised.
        embedding_map: of the first product, with one-hot characters, and of the last.
        context: how many characters attention sees, the present one included.
    """

    def __init__(
        self, forward_map: ForwardMap = ternary_linear, activation_bits: int | None = 8,
        embedding_map: ForwardMap = linear, width: int = 128, blocks: int = 4, heads: int = 4,
        context: int = 64, generator: torch.Generator | None = None,
    ):  # fmt: skip
        super().__init__()
        self.heads, self.context = heads, context
        dense = partial(GenDense, bias=False, generator=generator)
        self.embed = dense(len(ALPHABET), width, forward_map=embedding_map)
        inside = partial(dense, forward_map=forward_map)
        self.blocks = nn.ModuleList(Block(width, heads, activation_bits, inside) for _ in range(blocks))
        self.head = dense(width, len(ALPHABET), forward_map=embedding_map)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(F.one_hot(tokens, len(ALPHABET)).to(self.embed.weight.dtype))
        bias = self.distances(tokens.shape[1]).to(x)
        for block in self.blocks:
            x = block(x, bias)
        return self.head(F.layer_norm(x, x.shape[-1:]))

    def distances(self, length: int) -> Tensor:
        """(heads, T, T): what attention adds to its scores, less for the far ones, -inf where it does not look."""
        slopes = 2.0 ** (-8 * torch.arange(1, self.heads + 1, dtype=torch.float64) / self.heads)
        distance = torch.arange(length)[:, None] - torch.arange(length)
        seen = (distance >= 0) & (distance < self.context)
        return torch.where(seen, -slopes[:, None, None] * distance, -torch.inf)


def train_language(
    model: LanguageModel, tokens: Tensor, steps: int = 3000, rate: float = 3e-3, seed: int = 0, autocast: bool = False
) -> list[float]:
    """Train on 32 random windows a step; returns the loss of each step, in nats a character.

    The rate rises for 100 steps and falls to zero. With `autocast` the products are computed in bfloat16.
    """
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.99))
    shares = [min(1, (step + 1) / 100) * (1 + math.cos(math.pi * step / steps)) / 2 for step in range(steps + 1)]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, shares.__getitem__)
    generator, window, losses = torch.Generator().manual_seed(seed), torch.arange(model.context + 1), []
    for _ in range(steps):
        starts = torch.randint(len(tokens) - model.context, (32, 1), generator=generator)
        x = tokens[starts + window]
        with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
            loss = F.cross_entropy(model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def nats(model: LanguageModel, tokens: Tensor, length: int = 512) -> float:
    """The mean loss of a character, over whole windows of `length` characters, along which the context slides."""
    windows, total = tokens.unfold(0, length + 1, length), 0.0
    with eval_mode(model):
        for x in windows.split(2):  # what two need stays in the processor's cache
            total += F.cross_entropy(model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten(), reduction="sum").item()
    return total / (len(windows) * length)


def generate(
    model: LanguageModel, prompt: str, length: int, temperature: float = 1.0, generator: torch.Generator | None = None
) -> str:
    """`length` characters that go on from the prompt; at temperature 0 always the likeliest one."""
    check_whole(0, length=length)
    tokens, reach = encode(prompt or "\n"), len(model.blocks) * (model.context - 1) + 1  # what the next depends on
    with eval_mode(model):
        for _ in range(length):
            logits = model(tokens[None, -reach:])[0, -1]
            shares = (logits / temperature).softmax(dim=-1) if temperature else (logits == logits.max()).float()
            tokens = torch.cat([tokens, torch.multinomial(shares, 1, generator=generator)])
    return decode(tokens[len(tokens) - length :])
