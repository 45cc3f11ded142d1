"""Binary neural networks in PyTorch, for learners: weights and hidden activations in {-1, +1}.

Here is the tutorial: estimators, forward maps, layers, networks, training, plots. What leaves PyTorch, bits and whole
numbers, is in `bnn_tutorial.packed`, which is imported on its own.
"""

from . import plots  # noqa: F401
from .augmentation import *  # noqa: F403
from .bender import *  # noqa: F403
from .data import *  # noqa: F403
from .forward_maps import *  # noqa: F403
from .layers import *  # noqa: F403
from .losses import *  # noqa: F403
from .models import *  # noqa: F403
from .optimisers import *  # noqa: F403
from .ste import *  # noqa: F403
from .summary import *  # noqa: F403
from .training import *  # noqa: F403
