"""SVG chart of the client's benchmark: CPU time per message, one group of bars for each case."""

from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from .environments import LIBRARIES, OURS
from .report import amount
from .result import Results

COLUMNS, PANEL, MARGIN = 2, 410, 20
NAME, BAR, ROW, TITLE = 132, 145, 17, 30
HEAD, FOOT = 64, 56

STYLE: Final = """
  svg { font: 12px system-ui, sans-serif; }
  .page { fill: #ffffff; } text { fill: #1f2328; } .small { fill: #59636e; font-size: 11px; }
  .title { font-size: 13px; font-weight: 600; } .head { font-size: 17px; font-weight: 600; }
  .ours { fill: #1a7f37; } .peer { fill: #8c959f; } .floor { fill: #c9d1d9; }
  .ahead { font-weight: 600; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; } text { fill: #e6edf3; } .small { fill: #9198a1; }
    .ours { fill: #3fb950; } .peer { fill: #6e7681; } .floor { fill: #3d444d; }
  }
"""
"""The chart paints its background, so it can be read on a page of either kind."""


def chart(results: Results) -> str:
    """Return the chart of all cases in which CPU time was measured, as SVG."""
    heights = [0] * COLUMNS
    panels: list[str] = []
    for case in results.cases:
        bars = list(bars_of(results, case))
        if not bars:
            continue
        column = heights.index(min(heights))
        x, y = MARGIN + column * PANEL, HEAD + heights[column]
        panels.append(f'<g transform="translate({x} {y})">{panel(case, bars)}</g>')
        heights[column] += TITLE + ROW * len(bars) + 12
    width, height = 2 * MARGIN + COLUMNS * PANEL - 20, HEAD + max(heights) + FOOT
    about = results.about
    machine = f"{about['processor']}, {about['cores']} cores, load {about['load']}"
    versions = f"CPython {about['python']}, RabbitMQ {about['rabbitmq']}"
    source = f"{about['command']}, commit {about['commit']}, {about['date']}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" role="img">',
        "<title>CPU time of AMQP clients per message</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        text(MARGIN, 28, "CPU time of the client per message; shorter is better", "head"),
        text(MARGIN, 48, f"{machine}; {versions}. In brackets: multiples of ours, pure.", "small"),
        *panels,
        text(
            MARGIN, height - 32, "Floors read or write the same bytes without a library.", "small"
        ),
        text(MARGIN, height - 14, source, "small"),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def bars_of(results: Results, case: str) -> Iterator[tuple[str, str, float, str]]:
    """Yield name, class, seconds and label for each bar of a case."""
    for name, library in LIBRARIES.items():
        seconds = results.entry(case, name).median("cpu")
        if seconds is None:
            continue
        label = amount(seconds, "cpu")
        ratio = results.ratio(case, name, "cpu")
        if ratio is not None and name != OURS:
            label += f" ({ratio:.2g})" if ratio < 100 else f" ({ratio:.0f})"
        style = "ours" if library.is_ours else "floor" if library.is_floor else "peer"
        if results.is_ahead(case, name, "cpu"):
            label += " ahead"
            style += " ahead"
        yield name, style, seconds, label


def panel(case: str, bars: list[tuple[str, str, float, str]]) -> str:
    """Return the group of one case."""
    longest = max(seconds for _, _, seconds, _ in bars)
    parts = [text(0, 16, case, "title")]
    for row, (name, style, seconds, label) in enumerate(bars):
        y, length = TITLE + ROW * row, max(1.0, BAR * seconds / longest)
        weight = "ahead" if "ahead" in style else ""
        parts.append(text(NAME - 8, y + 11, name, weight, "end"))
        parts.append(f'<rect class="{style}" x="{NAME}" y="{y}" width="{length:.1f}" height="13"/>')
        parts.append(text(NAME + length + 5, y + 11, label, f"small {weight}".strip()))
    return "".join(parts)


def text(x: float, y: float, content: str, style: str = "", anchor: str = "start") -> str:
    """Return a text element."""
    kind = f' class="{style}"' if style else ""
    place = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:g}" y="{y:g}"{kind}{place}>{escape(content)}</text>'
