"""Draw figures as horizontal bars: an SVG that reads on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


# --- towards a line -------------------------------------------------------------------

PAGE_WIDTH, ROW = 760, 44
BARS, END = 460, 1.5  # how wide the bars may be; the line stands at 1, and they end at 1.5
TOWARDS_STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.faint { fill: #57606a }
.held { fill: #2f81f7 } .missed { fill: #bc4c00 } .track { fill: #8b949e; fill-opacity: .18 }
.line, .spread { stroke: #24292f; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .faint { fill: #9198a1 }
  .held { fill: #58a6ff } .missed { fill: #f0883e }
  .line, .spread { stroke: #e6edf3 }
}
</style>"""


@dataclass(frozen=True, kw_only=True)
class Towards:
    """A bar that reaches a line at 1, or doesn't; with the ends of its spread."""

    label: str
    reached: float
    least: float
    most: float
    words: str
    held: bool


def towards(title: str, rows: Sequence[Towards]) -> str:
    """Return an SVG of bars towards one line; what goes far past it is cut off."""
    height = TOP + len(rows) * ROW + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {PAGE_WIDTH} {height}"'
        f' role="img" aria-label="{escape(title)}">',
        TOWARDS_STYLE,
        f'<text x="0" y="16" font-weight="600">{escape(title)}</text>',
    ]
    for number, row in enumerate(rows):
        y = TOP + number * ROW
        kind = "held" if row.held else "missed"
        parts.append(
            f'<text x="0" y="{y + 11}">{escape(row.label)}</text>'
            f'<rect class="track" x="0" y="{y + 18}" width="{_at(END)}" height="12" rx="3"/>'
            f'<rect class="{kind}" x="0" y="{y + 18}" width="{_at(row.reached)}" height="12"'
            f' rx="3"/>'
            f'<line class="spread" x1="{_at(row.least)}" x2="{_at(row.most)}" y1="{y + 24}"'
            f' y2="{y + 24}"/>'
            f'<line class="line" x1="{_at(1)}" x2="{_at(1)}" y1="{y + 15}" y2="{y + 33}"/>'
            f'<text class="faint" x="{_at(END) + 8}" y="{y + 29}">{escape(kind)}: '
            f"{escape(row.words)}</text>"
        )
    return "\n".join([*parts, "</svg>", ""])


def _at(reached: float) -> int:
    return max(1, round(BARS * min(reached, END) / END))
