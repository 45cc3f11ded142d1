"""TeX to MathML while the site is built: browsers draw it by themselves, without a script."""

from __future__ import annotations

import html
import logging
import re

from latex2mathml.converter import convert

log = logging.getLogger("mkdocs.hooks.mathml")

# What pymdownx.arithmatex leaves: \(...\) in a span, \[...\] in a div.
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)

# An operator has room on both sides, the name of a function has not: sign(x), not sign (x).
FUNCTION_NAME = re.compile(r"<mo>([A-Za-z_]{2,})</mo>")


def on_page_content(content, page, config, files):
    def mathml(formula: re.Match) -> str:
        tex = html.unescape(formula[2])
        display = "block" if formula[1] == "div" else "inline"
        try:
            math = convert(tex, display=display)
        except Exception as error:  # latex2mathml raises many kinds
            log.warning(f"{page.file.src_uri}: cannot read the formula {tex!r}: {error!r}")
            return formula[0]
        math = FUNCTION_NAME.sub(r"<mi>\1</mi>", math)
        return math if display == "inline" else f'<div class="formula">{math}</div>'

    return FORMULA.sub(mathml, content)
