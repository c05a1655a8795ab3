"""Writes docs/PERFORMANCE.md and its plots from the figures of a run."""

import statistics
from html import escape
from pathlib import Path

from servers import ROOT

HEAD = """# Performance

Written by `benches/run.py` on {date}; not by hand. The prose is `benches/notes.md`.

{machine}. {versions}.
{repetitions} repetitions (of echoes and handshakes, which vary most, twice as many; of what takes long, three fifths), those
of all servers interleaved; medians, and smallest to largest in brackets. {minutes} minutes.

The unit is **the server's CPU time for each message**: user and system time of the process, all threads, over what it did. The
server has one core and its clients have the other. Rates would say more about the clients; and only ratios within one
run mean anything, as the same server moves by half when the machine does something else besides. Echoes and fan-out are
frames of 93 bytes over 64 and 1,000 connections. *Depth* is how many a client sends before it waits. Agent World checks
every frame against the schema and answers with a frame of its own; all others send back what they got. Its log level is
`warn`.
"""


def write(results, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "images").mkdir(exist_ok=True)
    page = Page(results)
    (folder / "PERFORMANCE.md").write_text(page.text())
    for name, plot in page.plots().items():
        (folder / "images" / f"{name}.svg").write_text(plot)


class Page:
    def __init__(self, results):
        self.results, self.values, self.codec = results, results["values"], results["codec"]

    def all(self, row, server="agent-world"):
        return self.values.get(row, {}).get(server, [])

    def median(self, row, server="agent-world"):
        measured = self.all(row, server)
        return statistics.median(measured) if measured else None

    def ratios(self, row, server, ours=None):
        """Of each repetition: how much cheaper this server is than that one, which may have a row of its own."""
        pairs = zip(self.all(row, server), self.all(ours or row))
        return [theirs / ours for theirs, ours in pairs]

    def text(self):
        results = self.results
        versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
        parts = [
            HEAD.format(**{**results, "versions": versions}),
            "## Where it must be, and is\n\n" + self.goals(),
            "## Figures\n\n" + self.figures(),
            (ROOT / "benches/notes.md").read_text(),
        ]
        return "\n".join(part.rstrip() + "\n" for part in parts)

    def goals(self):
        times = lambda values: values
        rows = [
            ("validated ping → pong, depth 16: cheaper than axum's bare echo", 2.5, 5, "×", self.ratios("echo 16", "axum"), True),
            ("the same against Bun's bare echo", 0.3, 0.6, "×", self.ratios("echo 16", "Bun"), True),
            ("depth 1 against Bun's bare echo", 0.7, 0.95, "×", self.ratios("echo 1", "Bun"), True),
            ("depth 16: cheaper than node `ws`' bare echo", 4, 8, "×", self.ratios("echo 16", "node ws"), True),
            ("chat event to 1,000 connections (validated, logged), depth 16, against Bun's publish", 0.75, 1.0, "×",
             self.ratios("fan-out 16", "Bun"), True),
            ("the same: cheaper than nats-server over WebSocket", 2, 3, "×", self.ratios("fan-out 16", "nats-server"), True),
            ("the same against Bun, where it publishes as many bytes", 0.75, 1.0, "×", self.ratios("fan-out 16, as long", "Bun", "fan-out 16"), True),
            ("the same against nats-server, where it publishes as many bytes", 2, 3, "×",
             self.ratios("fan-out 16, as long", "nats-server", "fan-out 16"), True),
            ("idle connection, subscribed to one world, one of 10,000", 4, 1.5, "KB", times([v / 1000 for v in self.all("idle")]), False),
            ("user with a connection and a world of their own that sleeps, one of 10,000", 8, 3, "KB",
             times([v / 1000 for v in self.all("own worlds")]), False),
            ("handshake to the first frame, CPU, one client after the other", 150, 60, "µs", self.all("handshake 1"), False),
            ("the same, 16 clients at once", 150, 60, "µs", self.all("handshake 16"), False),
            ("decode of a chat frame (300 bytes), constraints included, against plain serde", 1.1, 0.8, "×", self.all("decode"), False),
            ("durable messages acknowledged, 256 worlds at once, against one after the other", 15, 40, "×",
             [many / one for many, one in zip(self.all("durable 256"), self.all("durable 1"))], True),
            ("provider's first byte to the client's first delta, median", 1, 0.3, "ms", self.all("first delta"), False),
            ("cold start to the first accepted connection, 1,000 worlds on disk", 200, 50, "ms", self.all("cold start"), False),
            ("a world with 100,000 events opens", 100, 100, "ms", self.all("open"), False),
        ]
        lines = ["| | must | goal | measured | |", "|---|---|---|---|---|"]
        for name, must, goal, unit, measured, more in rows:
            if not measured:
                lines.append(f"| {name} | {bound(must, unit, more)} | {bound(goal, unit, more)} | not measured | |")
                continue
            middle = statistics.median(measured)
            met = lambda limit: middle >= limit if more else middle <= limit
            verdict = "goal" if met(goal) else "must" if met(must) else "**missed**"
            spread = f" ({number(min(measured))}–{number(max(measured))})" if len(measured) > 1 else ""
            lines.append(f"| {name} | {bound(must, unit, more)} | {bound(goal, unit, more)} | **{number(middle)} {unit}**{spread} | {verdict} |")
        return "\n".join(lines) + "\n"

    def figures(self):
        parts = [
            table("CPU of the server, µs per message", self, ["echo 1", "echo 16", "handshake 1", "handshake 16"],
                  ["echo, depth 1", "echo, depth 16", "handshake", "handshake, 16 at once"]),
            "![Echo at depth 16](images/echo.svg)\n",
            table("CPU of the server, µs per delivery, one event to 1,000 connections", self,
                  ["fan-out 1", "fan-out 16", "fan-out 16, as long"],
                  ["depth 1", "depth 16", f"depth 16, all with the {number(self.median('event') or 0)} bytes of an event of ours"]),
            "![Fan-out at depth 16](images/fanout.svg)\n",
            table("Memory, bytes for each of 10,000 connections", self, ["idle", "own worlds"],
                  ["idle, subscribed", "each with a sleeping world of its own"], whole=True),
            "![Memory of an idle connection](images/idle.svg)\n",
            self.alone(), self.codec_table(),
        ]
        return "\n".join(part for part in parts if part)

    def alone(self):
        rows = [
            ("delivery to 10, 100, 1,000 subscribers, depth 16, µs CPU",
             [self.all(f"subscribers {count}") for count in (10, 100, 1_000)]),
            ("frame that is refused and explained, µs CPU", [self.all("refused")]),
            ("resume of 1,000 clients at once, each 50 messages behind, µs CPU each", [self.all("resume")]),
            ("the same, seconds until all have caught up", [self.all("resume, seconds")]),
            ("replies of 200 agents in 100 worlds, streaming, µs CPU per frame", [self.all("replies")]),
            ("durable messages per second: 1, 16, 256 worlds", [self.all(f"durable {count}") for count in (1, 16, 256)]),
            ("the same, µs CPU each", [self.all(f"durable cpu {count}") for count in (1, 16, 256)]),
            ("what the disk does without a database: write and fsync, per second", [self.all("fsync", "disk")]),
            ("the load program itself at depth 1 and 16, µs CPU per message",
             [self.all("load 1"), self.all("load 16")]),
        ]
        lines = ["| Agent World alone | |", "|---|---|"]
        for name, columns in rows:
            if all(columns):
                lines.append(f"| {name} | {' · '.join(spread(column) for column in columns)} |")
        return "\n".join(lines) + "\n"

    def codec_table(self):
        lines = ["| Criterion, medians | |", "|---|---|"]
        for name, ns in self.codec.items():
            lines.append(f"| {name} | {number(ns / 1000) + ' µs' if ns < 1e6 else number(ns / 1e6) + ' ms'} |")
        return "\n".join(lines) + "\n"

    def plots(self):
        return {
            "echo": bars("µs CPU per message, echo at depth 16", self.medians("echo 16")),
            "fanout": bars("µs CPU per delivery, fan-out to 1,000 at depth 16", self.medians("fan-out 16")),
            "idle": bars("bytes per idle connection, 10,000 of them", self.medians("idle")),
        }

    def medians(self, row):
        found = {server: statistics.median(measured) for server, measured in self.values.get(row, {}).items()}
        return sorted(found.items(), key=lambda item: item[1])


def table(title, page, rows, heads, whole=False):
    servers = [server for server in ("agent-world", "Bun", "nats-server", "fastwebsockets", "axum", "node ws", "socket.io")
               if any(page.all(row, server) for row in rows)]
    lines = [f"| {title} | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for server in servers:
        cells = [spread(page.all(row, server), whole) or "–" for row in rows]
        lines.append(f"| {server} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def spread(measured, whole=False):
    if not measured:
        return ""
    show = (lambda value: f"{value:,.0f}") if whole else number
    return f"{show(statistics.median(measured))} ({show(min(measured))}–{show(max(measured))})"


def number(value):
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def bound(limit, unit, more):
    return f"{'≥' if more else '≤'} {limit} {unit}"


def bars(title, values):
    """A plot of horizontal bars, as SVG."""
    if not values:
        return "<svg xmlns='http://www.w3.org/2000/svg'/>\n"
    width, row, left = 720, 26, 130
    most = max(value for _, value in values)
    lines = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {40 + row * len(values)}' font-family='sans-serif' "
        f"font-size='13' role='img' aria-label='{escape(title)}'>",
        f"<rect width='100%' height='100%' fill='#fff'/><text x='12' y='20' fill='#333'>{escape(title)}</text>",
    ]
    for at, (name, value) in enumerate(values):
        y, length = 34 + at * row, max(1, value / most * (width - left - 100))
        color = "#2563eb" if name == "agent-world" else "#94a3b8"
        lines.append(f"<text x='{left - 8}' y='{y + 14}' text-anchor='end' fill='#333'>{escape(name)}</text>"
                     f"<rect x='{left}' y='{y}' width='{length:.0f}' height='18' fill='{color}'/>"
                     f"<text x='{left + length + 6:.0f}' y='{y + 14}' fill='#333'>{number(value)}</text>")
    return "\n".join(lines) + "\n</svg>\n"
