"""Commands that make the files that the web pages load, for example `python -m docs.web.make.examples`.

For the page "Draw a digit", whose scripts are in `docs/web/draw`:

- `prepare`: strokes or a picture become 28 x 28 pixels as in MNIST, as `docs/web/draw/drawing.js` does it.
- `golden`: writes `golden.json`, with which the tests of both languages compare every pixel.
- `recipe`: trains the page's networks and writes `docs/web/draw/w1a8.safetensors` and `w1a1.safetensors`.
- `grid`: how many digits these networks get right at other stroke widths, sizes and angles.
- `handwriting`: writes `handwriting.json`, thirty digits stroke by stroke, which tests draw on the page.
- `examples`: writes `docs/web/draw/examples.safetensors`, the digits that you can choose instead of drawing.

For the part of the page "Playground" where you train such a network:

- `digits`: writes `docs/web/playground/digits/digits.safetensors.gz`, the digits for training and for measuring.
"""
