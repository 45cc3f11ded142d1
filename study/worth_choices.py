"""Shapes and learning rates of `worth`, on held-out images: `python -m study.worth_choices`.

The last 10,000 training images take the place of the test set, which is not read. One seed. An hour on two cores.
"""

from itertools import product

from .runner import run_missing
from .worth import CELLS, CHOICES, KINDS, SEEDS, candidates

RESULTS = CHOICES
RECIPES = {
    name: recipe._replace(seeds=1)
    for cell in product(SEEDS, KINDS, CELLS)
    for name, recipe in candidates(*cell).items()
}

if __name__ == "__main__":
    run_missing(RESULTS, RECIPES, held_out=True)
