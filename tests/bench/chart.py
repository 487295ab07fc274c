"""Draw figures as horizontal bars: an SVG that reads on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, BAR, GAP, LABEL, VALUE, TOP = 760, 20, 10, 300, 90, 34
STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.bar { fill: #2f81f7 } .other { fill: #8b949e }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }
</style>"""


def bars(title: str, figures: Sequence[tuple[str, float, str]], *, compared: int = 0) -> str:
    """Return an SVG with one bar for each (label, value, words); the first few are others'."""
    most = max(value for _, value, _ in figures)
    height = TOP + len(figures) * (BAR + GAP)
    rows = []
    for number, (label, value, words) in enumerate(figures):
        y = TOP + number * (BAR + GAP)
        length = max(1, round((WIDTH - LABEL - VALUE) * value / most))
        kind = "other" if number < compared else "bar"
        rows.append(
            f'<text x="{LABEL - 8}" y="{y + 15}" text-anchor="end">{escape(label)}</text>'
            f'<rect class="{kind}" x="{LABEL}" y="{y}" width="{length}" height="{BAR}" rx="3"/>'
            f'<text x="{LABEL + length + 8}" y="{y + 15}">{escape(words)}</text>'
        )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' role="img" aria-label="{escape(title)}">'
    )
    heading = f'<text x="0" y="16" font-weight="600">{escape(title)}</text>'
    return "\n".join([head, STYLE, heading, *rows, "</svg>", ""])
