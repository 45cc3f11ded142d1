"""Draw docs/assets/card.png, the preview of a link to the site: `python -m tools.social_card`.

It shows the home page's pictures under the site's name. It needs Debian's chromium. Run it again when these change.
"""

from pathlib import Path

from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent.parent / "docs"
PAGE = """
<html data-md-color-scheme="slate">
<style>{css}</style>
<style>
  html {{ --md-code-bg-color: #0f2a3d; font-size: 20px; }}
  body {{ background: #0d3a58; color: #fff; font: 26px/1.4 "DejaVu Sans", sans-serif; margin: 0; padding: 90px 60px; }}
  h1 {{ font-size: 62px; margin: 0 0 12px; }}
  ol.way {{ display: grid; gap: 24px; grid-template-columns: repeat(4, 1fr); margin: 70px 0; padding: 0; }}
  ol.way li {{ list-style: none; }}
  .way p {{ display: none; }}
</style>
<h1>Binary neural networks</h1>
From a sign without a gradient to weights of one bit, in PyTorch
{picture}
"""


def main() -> None:
    css = (DOCS / "stylesheets" / "site.css").read_text(encoding="utf-8")
    picture = (DOCS / "overrides" / "way.html").read_text(encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 630})
        page.set_content(PAGE.format(css=css, picture=picture))
        page.screenshot(path=DOCS / "assets" / "card.png")
        browser.close()


if __name__ == "__main__":
    main()
