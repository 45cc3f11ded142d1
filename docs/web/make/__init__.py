"""The Python side of the site's page "Draw a digit", whose JavaScript is in `docs/web/draw`.

- `prepare`: strokes or a picture become 28 x 28 pixels as in MNIST. `docs/web/draw/drawing.js` does the same; the tests of
  both (`tests/test_drawing_prepare.py`, `tests/test_draw.py`) compare every pixel with `golden.json`.
- `golden`: writes `golden.json`, inputs of both languages and the pixels that must come out.
- `recipe`: trains the page's network and writes `docs/web/draw/model.safetensors`.
- `grid`: how many digits that network reads at other stroke widths, sizes and angles.
- `handwriting`: writes `handwriting.json`, thirty digits stroke by stroke, which tests draw on the page.
- `examples`: writes `docs/web/draw/examples.safetensors`, the digits that one can choose instead of drawing.

And of the part of the page "Playground" where one trains such a network, whose JavaScript is in `docs/web/playground`:

- `digits`: writes `docs/web/playground/digits.safetensors.gz`, the digits to train on and to measure with.
- `c_template`: writes `docs/web/playground/template.c`, the C file of such a network without its constants.
"""
