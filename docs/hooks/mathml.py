"""TeX to MathML while the site is built: browsers draw it by themselves, without a script."""

from __future__ import annotations

import html
import logging
import re

from latex2mathml.converter import convert

log = logging.getLogger("mkdocs.hooks.mathml")

# What pymdownx.arithmatex leaves: \(...\) in a span, \[...\] in a div.
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)

# An operator has room on both sides. These have not: the name of a function, the bars of |x|, and the sign of a number.
FUNCTION_NAME = re.compile(r"<mo>([A-Za-z_]{2,})</mo>")
BARE_ARGUMENT = re.compile(r"(?<=[a-z]{2}</mi>)(?=<m[a-np-z])")  # log p, not log(p)
WORD_BETWEEN = re.compile(r"<mi>([A-Z]{2,})</mi>")  # x XOR w
BAR = re.compile(r'(?<=<mo stretchy="false")(?=>\|</mo>)')
SIGN = re.compile(r"(?<=[(\[{,=≔∈≤≥]</mo><mo)(?=>[−+±]</mo>)")

# Characters that latex2mathml escapes without need: all but <, > and &.
ENTITY = re.compile(r"&#x(?!0*(?:3C|3E|26);)([0-9A-F]+);")

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
    # latex2mathml knows these by another name.
    tex = tex.replace("{aligned}", "{align*}").replace(":=", r"\coloneqq ")
    math = ENTITY.sub(lambda entity: chr(int(entity[1], 16)), convert(tex, display=display))
    if unknown := UNKNOWN.search(math):
        raise ValueError(f"{unknown[1]} is unknown")
    math = FUNCTION_NAME.sub(r"<mi>\1</mi>", math)
    math = BARE_ARGUMENT.sub('<mspace width="0.17em"/>', math).replace("<mi>±</mi>", "<mo>±</mo>")
    math = WORD_BETWEEN.sub(r'<mo lspace="0.28em" rspace="0.28em">\1</mo>', math)
    return SIGN.sub(' form="prefix"', BAR.sub(' lspace="0" rspace="0"', math))
