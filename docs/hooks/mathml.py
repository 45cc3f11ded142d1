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

# latex2mathml hands on what it does not know.
UNKNOWN = re.compile(r"<mi>(\\\w+|&)</mi>")


def on_page_content(content, page, config, files):
    def replace(formula: re.Match) -> str:
        tex, display = html.unescape(formula[2]), "block" if formula[1] == "div" else "inline"
        try:
            math = to_mathml(tex, display)
        except Exception as error:  # latex2mathml raises many kinds
            log.warning(f"{page.file.src_uri}: cannot read the formula {tex!r}: {error!r}")
            return formula[0]
        return math if display == "inline" else f'<div class="formula">{math}</div>'

    return FORMULA.sub(replace, content)


def to_mathml(tex: str, display: str) -> str:
    math = convert(tex.replace("{aligned}", "{align}"), display=display)  # it knows the second only
    if unknown := UNKNOWN.search(math):
        raise ValueError(f"{unknown[1]} is unknown")
    return FUNCTION_NAME.sub(r"<mi>\1</mi>", math)
