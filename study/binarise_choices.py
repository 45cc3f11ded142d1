"""The learning rates of `binarise`, on held-out images: `python -m study.binarise_choices`. Three minutes."""

from .binarise import CANDIDATES, CHOICES
from .runner import run_missing

RESULTS = CHOICES
RECIPES = {name: recipe._replace(seeds=1) for tried in CANDIDATES.values() for name, recipe in tried.items()}

if __name__ == "__main__":
    run_missing(RESULTS, RECIPES, held_out=True)
