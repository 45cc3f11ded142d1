"""Makes what the page "Write" loads: `python -m docs.web.make.writer`, after a row of `study.language`.

The ternary model that the study trained at the rate 0.003 with seed 0, its embeddings rounded to 8 bits, goes packed
into the package and, the same file, to the page; the table of 4-grams goes to the page only.
"""

from __future__ import annotations

import gzip
from pathlib import Path

from safetensors.numpy import save
from safetensors.torch import load_file

import bnn_tutorial as bnn
from bnn_tutorial import language
from bnn_tutorial.packed.language import PRETRAINED, PackedLanguageModel
from study.language import KEPT, NGrams, read

FOLDER = Path(__file__).parents[1] / "write"
MODEL, NGRAMS = FOLDER / "model.safetensors", FOLDER / "ngrams.safetensors.gz"


def trained() -> language.LanguageModel:
    """The study's ternary model of seed 0, with embeddings of 8 bits."""
    model = language.LanguageModel(embedding_map=bnn.quantised_linear)
    model.load_state_dict(load_file(KEPT))
    return model.eval()


def main() -> None:
    row = read().set_index(["name", "seed"]).loc["ternary, rate 0.003", 0]
    told = {"study": "study.language, ternary, seed 0", "settings": row["settings"], "text": "32 plays of Shakespeare"}
    model = PackedLanguageModel.from_model(trained(), told)
    model.save(PRETRAINED)
    MODEL.write_bytes(PRETRAINED.read_bytes())
    ngrams = NGrams(language.load_shakespeare().train.numpy(), 4)
    NGRAMS.write_bytes(gzip.compress(save(ngrams.tree()), mtime=0))
    print(*(f"{file.name}: {file.stat().st_size:,} bytes" for file in (MODEL, NGRAMS)), sep="\n")


if __name__ == "__main__":
    main()
