"""The results that the Julia tutorial publishes, to compare with ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_ROWS = (
    (1, 1.900, 1.862, 0.789, 0.792),
    (2, 1.560, 1.542, 0.824, 0.830),
    (3, 1.365, 1.361, 0.850, 0.849),
    (4, 1.362, 1.382, 0.846, 0.852),
    (5, 1.294, 1.340, 0.859, 0.859),
    (6, 1.234, 1.224, 0.866, 0.870),
    (7, 1.268, 1.269, 0.865, 0.869),
    (8, 1.306, 1.395, 0.857, 0.855),
    (9, 1.222, 1.260, 0.873, 0.873),
    (10, 1.220, 1.263, 0.867, 0.867),
)


def bender_history() -> pd.DataFrame:
    """The table of the Bender.jl tutorial: 784-300-100-10, 10 epochs, one run without a seed.

    The columns are named as in `train`: losses in nats, accuracies in [0, 1]. The test set has 9,984 images there,
    since the loader drops the last partial batch. Source: rasmuskh.github.io/Bender.jl.
    """
    import pandas as pd

    return pd.DataFrame(_ROWS, columns=["epoch", "loss_train", "loss_test", "acc_train", "acc_test"])


def beside_bender(history: pd.DataFrame) -> pd.DataFrame:
    """The history of `train` beside Bender's: a row for each epoch, columns such as `("acc_test", "ours")`.

    Bender's columns are NaN after ten epochs.
    """
    import pandas as pd

    ours, theirs = history.set_index("epoch"), bender_history().set_index("epoch").reindex(history["epoch"])
    pairs = {(name, who): table[name] for name in theirs for who, table in (("ours", ours), ("Bender", theirs))}
    return pd.DataFrame(pairs)
