"""The study of the language model: its n-grams, its bytes, its rows."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

import bnn_tutorial as bnn
from bnn_tutorial import language
from bnn_tutorial.packed.language import load_pretrained
from study import language as study


def kneser_ney(text, history, character, n, least):
    """By its definition, with counts by hand; what is left out goes to the shorter history, as what is taken off."""
    size = len(history) + 1
    places = {text[i : i + size]: [] for i in range(len(text) - size + 1)}
    for i in range(len(text) - size + 1):
        places[text[i : i + size]].append(i)
    counts = {gram: len(at) if size == n else len({text[i - 1] for i in at if i > 0}) for gram, at in places.items()}
    have = {k: sum(count == k for count in counts.values()) for k in (1, 2, 3, 4)}
    share = have[1] / max(have[1] + 2 * have[2], 1)
    discounts = {k: k - (k + 1) * share * have[k + 1] / max(have[k], 1) for k in (1, 2, 3)}
    discounts = {0: 0} | {k: min(max(d, 0.1), k) for k, d in discounts.items()}
    following = {gram[-1]: count for gram, count in counts.items() if gram[:-1] == history}
    own = {x: count - discounts[min(count, 3)] for x, count in following.items()}
    own = {x: count for x, count in own.items() if len(places[history + x]) >= least or size < 4}
    shorter = kneser_ney(text, history[1:], character, n, least) if history else 1 / len(language.ALPHABET)
    if not sum(following.values()):
        return shorter
    total = sum(following.values())
    return (own.get(character, 0) + shorter * (total - sum(own.values()))) / total


@pytest.mark.parametrize(("n", "least"), [(1, 1), (2, 1), (3, 1), (5, 1), (5, 2)])
def test_n_grams_are_kneser_and_neys(n, least):
    text, unseen = "to be or not to be that is the question: to be or to bee", "to question, to be it"
    expected = [kneser_ney(text, unseen[max(0, i - n + 1) : i], unseen[i], n, least) for i in range(len(unseen))]
    grams = study.NGrams(language.encode(text).numpy(), n, least)
    assert grams.nats(language.encode(unseen).numpy()) == pytest.approx(-np.log(expected).mean())


@pytest.mark.parametrize("least", [1, 2, 3])
def test_long_n_grams_that_came_too_rarely_are_left_out(least):
    text = "the king, the king, the kin"
    table = study.NGrams(language.encode(text).numpy(), 5, least)
    for order, (grams, *_) in enumerate(table.orders):
        times = Counter(text[i : i + order + 1] for i in range(len(text) - order))
        assert len(grams) == sum(n >= least or order < 3 for n in times.values())
        assert len(table.tree()[f"{order}.count"]) == len(grams)


def test_n_grams_give_shares_that_sum_to_one():
    grams, letters = study.NGrams(language.encode("banana bandana").numpy(), 3), language.ALPHABET
    shares = [np.exp(-4 * grams.nats(language.encode(f"ban{c}").numpy())) for c in letters]
    first = np.exp(-3 * grams.nats(language.encode("ban").numpy()))
    assert sum(shares) / first == pytest.approx(1)


def test_stored_bytes_are_those_of_the_packed_file():
    assert study.stored_bytes(bnn.ternary_linear, bnn.quantised_linear) == load_pretrained().bytes


@pytest.mark.parametrize("kind", [*study.KINDS, *study.SMALL_SCALES])
def test_the_widest_model_fits_and_the_next_one_does_not(kind):
    options = study.widest(kind, 160_000, 4) | {"scale": 2 if "2-byte" in kind else 8}
    wider = options | {"width": options["width"] + 4}
    assert study.stored_bytes(**options) <= 160_000 < study.stored_bytes(**wider)


def test_a_row_of_weights_has_whole_bytes_and_a_scale():
    four_bits = study.KINDS["4 bits"]["forward_map"]
    assert [study.matrix_bytes(four_bits, 3, 5, scale) for scale in (8, 2)] == [3 * (3 + 8), 3 * (3 + 2)]
    assert study.matrix_bytes(bnn.ternary_linear, 3, 5, 8) == 3 * 1 + 8


def test_smaller_scales_have_the_choices_of_the_larger_ones():
    scores = study.scores()
    larger = scores[scores["kind"].isin([kind.partition(",")[0] for kind in study.SMALL_SCALES]) & (scores["kB"] < 600)]
    found = {name.replace(", 2-byte scales", "") for name in study.runs(study.read()) if "2-byte" in name}
    assert len(found) == 4
    assert found == set(larger["name"])


def test_with_8_bits_smaller_scales_leave_no_room_for_a_wider_model():
    for budget in study.BUDGETS[:2]:
        options = study.widest("8 bits", budget, 4)
        assert study.stored_bytes(**options | {"width": options["width"] + 4}, scale=2) > budget


def rows(losses):
    """A table of trials of the kind ternary in 40 kB, and the settings of their names."""
    names = {f"ternary, 40 kB, {blocks} blocks, rate 0.003": loss for blocks, loss in losses.items()}
    settings = [study.every()[name].settings() for name in names]
    return pd.DataFrame({"name": list(names), "seed": 0, "nats_choose": list(names.values()), "settings": settings})


@pytest.mark.parametrize(
    ("losses", "depths", "rates"),
    [
        ({}, "124", ""),
        ({1: 3, 2: 2}, "124", ""),
        ({1: 3, 2: 1, 4: 2}, "124", "2"),
        ({1: 3, 2: 2, 4: 1}, "1248", ""),
        ({1: 3, 2: 2, 4: 1, 8: 2}, "1248", "4"),
    ],
)
def test_more_is_tried_while_the_last_is_the_best(losses, depths, rates):
    found = [name for name in study.runs(rows(losses)) if name.startswith("ternary, 40 kB")]
    expected = {f"ternary, 40 kB, {blocks} blocks, rate 0.003" for blocks in depths}
    assert set(found) == expected | {f"ternary, 40 kB, {blocks} blocks, rate 0.01" for blocks in rates}


def test_rows_of_other_settings_and_of_other_seeds_choose_nothing():
    table = study.read()
    before = {name: run.seeds for name, run in study.runs(table).items()}
    stale = {"name": "ternary, rate 0.01", "seed": 0, "nats_choose": 1.0, "settings": "steps=9"}
    other = table[table["name"] == "ternary, rate 0.01"].assign(seed=7, nats_choose=1.0)
    table = pd.concat([table, pd.DataFrame([stale]), other])
    assert {name: run.seeds for name, run in study.runs(table).items()} == before


def test_only_chosen_rows_of_full_length_are_scores():
    table = study.scores()
    assert (table.groupby(["kind", "kB"], dropna=False)["settings"].nunique() == 1).all()
    assert table["settings"].str.endswith(f"steps={study.STEPS}").all()
    at_equal_layers = table[table["kB"].isna()]
    assert set(at_equal_layers["name"]) >= {"ternary, rate 0.003", "float, rate 0.003"}


def test_the_rows_that_decide_come_first(monkeypatch):
    empty = pd.DataFrame(columns=study.COLUMNS)
    monkeypatch.setattr(study, "read", lambda: empty)
    rows = [(name, seed) for name, seed, _ in study.missing([]) if not name.endswith("1000 steps")]
    first = [(f"{kind}, rate {rate}", 0) for kind in ("ternary", "float", "±1") for rate in (0.001, 0.003)]
    assert rows[:6] == first
    assert {seed for name, seed in rows if name.startswith(("ternary", "float", "±1"))} == {0}  # nothing is chosen


def test_each_stored_row_has_the_settings_of_its_name():
    pd.testing.assert_frame_equal(study.valid(study.read()), study.read())


def test_a_trial_is_never_scored_on_the_plays_to_report(monkeypatch):
    scored = []
    monkeypatch.setattr(language, "nats", lambda model, tokens: scored.append(tokens) or 1.0)
    monkeypatch.setattr(language, "train_language", lambda *args, **options: [1.0])
    plays = language.Plays("train", "choose", "report")
    study.Run({"width": 8}, 0.003, trial=True).train(0, plays)
    assert scored == ["choose"]
