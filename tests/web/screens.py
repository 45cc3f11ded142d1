"""The screens on which the site is looked at."""

import pytest

PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1440, "height": 900}
VIEWS = [
    pytest.param(size, scheme, id=f"{size['width']}-{scheme}")
    for size in (PHONE, DESKTOP)
    for scheme in ("light", "dark")
]
SOME_VIEWS = [
    pytest.param(*view.values, id=view.id, marks=[] if view.id in ("360-dark", "1440-light") else pytest.mark.slow)
    for view in VIEWS
]
