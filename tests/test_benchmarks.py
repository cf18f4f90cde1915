"""`hatch run bench`: its options, tables, files and chart, and small runs on RabbitMQ.

The libraries are those of the development environment, so that no test installs anything.
"""

import io
import json
import os
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from benchmarks import __main__ as benchmarks
from benchmarks.broker import BrokerConnection
from benchmarks.cases import CASES
from benchmarks.chart import BAR, chart
from benchmarks.client import main, parse
from benchmarks.environments import LIBRARIES, ROOT, Environment, Library, NotInstalled
from benchmarks.figures import FIGURES
from benchmarks.report import ahead, report
from benchmarks.result import MEMORY, RATIOS, Entry, Figure, Results, load
from benchmarks.turns import TIME_LIMIT, Bench, Worker

SVG = "{http://www.w3.org/2000/svg}"
ABOUT = {
    "processor": "A <fast> one",
    "cores": 2,
    "load": 0.1,
    "system": "Linux 6, x86_64",
    "python": "3.11.7",
    "rabbitmq": "4.3.6",
    "libraries": {},
    "command": "hatch run bench",
    "turns": 3,
    "date": "2026-01-31",
    "commit": "1234567",
}


def fixed_results() -> Results:
    """Return a result in which pika is ahead of ours with large messages only."""
    return Results(
        ABOUT,
        {
            "publish 100 B": {
                "ours": Entry({"cpu": [5e-6, 4e-6, 6e-6], "wall": [1e-5, 1e-5, 1e-5]}),
                "ours, compiled": Entry({"cpu": [2.5e-6, 2e-6, 3e-6], "wall": [1e-5] * 3}),
                "pika": Entry({"cpu": [20e-6, 20e-6, 21e-6], "wall": [2e-5, 3e-5, 4e-5]}),
                "one write a message": Entry({"cpu": [1e-6] * 3, "wall": [2e-6] * 3}),
            },
            "publish 1 MB": {
                "ours": Entry({"cpu": [1.6e-3] * 3, "wall": [2e-3] * 3}),
                "pika": Entry({"cpu": [0.8e-3] * 3, "wall": [1e-3] * 3}),
            },
            "confirm, deferred": {
                "ours": Entry({"cpu": [5e-6] * 3, "wall": [6e-6] * 3}),
                "pika": Entry(reason="waits for each"),
                "amqpstorm": Entry(reason="waits for each"),
            },
            "RPC round trip": {
                "ours": Entry({"cpu": [1e-4], "wall": [3e-4], "p50": [2.5e-4], "p99": [9e-4]}),
            },
            "memory of a channel": {"ours": Entry({"memory": [3000.0]})},
        },
        [Figure("import of aioamqp against asyncio", 1.5, 1.3)],
    )


def printed(results: Results) -> str:
    output = io.StringIO()
    report(results, Console(file=output, width=140))
    return output.getvalue()


# ---------------------------------------------------------------- options


def test_without_options_everything_is_measured() -> None:
    options = parse([])

    assert options.cases == list(CASES)
    assert options.figures == list(FIGURES)
    assert options.libraries == list(LIBRARIES)
    assert options.turns == 5


def test_cases_and_peers_are_selected_by_part_of_their_name_and_ours_is_always_there() -> None:
    options = parse(["--case", "1 MB", "get", "--peer", "pika", "amqp 0.15", "--quick"])

    assert options.cases == [name for name in CASES if "1 MB" in name or name == "get"]
    assert options.libraries == ["ours", "aioamqp 0.15", "pika"]  # not aio-pika: pika is a name
    assert options.figures == []
    assert options.turns == 2


def test_figures_alone_are_measured_without_cases() -> None:
    options = parse(["--figure", "import"])

    assert options.cases == []
    assert options.figures == [name for name in FIGURES if "import" in name]


def test_nothing_is_selected_by_a_dash() -> None:
    assert parse(["--figure", "-"]).figures == []
    assert parse(["--peer", "-"]).libraries == ["ours"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--case", "nothing"], "--case nothing: there is none; there are publish 100 B"),
        (["--peer", "nothing"], "--peer nothing: there is none; there are ours"),
        (["--turns", "0"], "0 is not at least 1"),
    ],
)
def test_a_wrong_option_is_refused(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)

    assert complaint in capsys.readouterr().err


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmarks.main(["nothing"]) == 2
    assert "client,codec,fake,soak" in capsys.readouterr().err


def test_the_client_is_measured_unless_another_benchmark_is_named(tmp_path: Path) -> None:
    fixed_results().save(tmp_path / "saved.json")

    assert benchmarks.main(["--from", str(tmp_path / "saved.json")]) == 0


def test_every_target_is_for_a_case_that_exists() -> None:
    named = {name for case, _, other, _, _ in RATIOS for name in (case, other)}

    assert named | {case for case, *_ in MEMORY} <= set(CASES)
    assert {library for _, ours, _, other, _ in RATIOS for library in (ours, other)} <= set(
        LIBRARIES
    )


# ---------------------------------------------------------------- tables and files


def test_a_row_has_median_spread_and_ratio() -> None:
    rows = {line.split("│")[1].strip(): line for line in printed(fixed_results()).splitlines()[6:12]
            if "│" in line}  # fmt: skip

    assert "5.00 us (4.00..6.00)" in rows["ours"]
    assert "20.0 us (20.0..21.0)" in rows["pika"]
    assert "4.00 (3.50..5.00)" in rows["pika"]
    assert "30.0 us (20.0..40.0)" in rows["pika"]


def test_the_table_says_where_a_peer_is_ahead() -> None:
    assert ahead(fixed_results()) == [
        "Ahead of ours, pure, as multiples of it:",
        "  publish 1 MB: pika, CPU 0.50, wall 0.50",
    ]
    assert printed(fixed_results()).count("ahead of ours: CPU, wall") == 1


def test_no_peer_is_ahead_of_ours_where_ours_compiled_is_better() -> None:
    results = fixed_results()
    del results.cases["publish 1 MB"]

    assert ahead(results) == ["No other library is ahead of ours in any case that was measured."]


def test_what_a_library_cannot_do_is_a_dash_with_a_note() -> None:
    lines = printed(fixed_results()).splitlines()

    assert [line for line in lines if line.startswith("1) ")] == ["1) waits for each"]
    assert sum(" - │" in line and "1) " in line for line in lines) == 2


def test_targets_are_met_or_missed() -> None:
    targets = {figure.name: figure for figure in fixed_results().targets()}

    found = {name: (round(figure.value, 2), figure.is_met) for name, figure in targets.items()}
    assert found == {
        "publish 100 B, compiled: CPU against one write a message": (2.5, True),
        "memory of a channel": (2.93, True),
        "import of aioamqp against asyncio": (1.5, False),
    }
    output = printed(fixed_results())
    assert re.search(r"against asyncio +│ +1\.50 │ +at most 1\.3 │ MISSED", output)
    assert re.search(r"of a channel +│ +2\.93 KiB │ +under 4 KiB │ met", output)


def test_round_trips_have_percentiles() -> None:
    assert "p50 250 us; p99 900 us" in printed(fixed_results())


def test_the_machine_and_the_command_are_shown() -> None:
    output = printed(fixed_results())

    for part in ("A <fast> one, 2 cores", "CPython 3.11.7, RabbitMQ 4.3.6", "hatch run bench"):
        assert part in output


def test_a_saved_result_is_read_back(tmp_path: Path) -> None:
    results = fixed_results()
    results.save(tmp_path / "saved.json")

    assert load(tmp_path / "saved.json") == results
    saved = json.loads((tmp_path / "saved.json").read_text())
    assert saved.keys() == {"schema", "about", "cases", "figures"}
    entry = saved["cases"]["publish 100 B"]["pika"]
    assert entry == {"values": {"cpu": [2e-05, 2e-05, 2.1e-05], "wall": [2e-05, 3e-05, 4e-05]},
                     "reason": ""}  # fmt: skip


def test_another_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.json").write_text('{"schema": 0}')

    assert main(["--from", str(tmp_path / "other.json")]) == 2
    assert "is no result of `hatch run bench --json`" in capsys.readouterr().err


def test_without_rabbitmq_the_command_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # has other versions

    assert main(["--peer", "-", "--case", "get"], here) == 2
    assert "with --url" in capsys.readouterr().err


def test_without_a_connection_the_command_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--peer", "-", "--case", "get", "--url", "amqp://127.0.0.1:1/"], here) == 2
    assert "refused" in capsys.readouterr().err


def test_a_failed_turn_leaves_no_values() -> None:
    entry = Entry()

    for result in ({"cpu": 1.0}, {"reason": "lost messages"}, {"cpu": 2.0}):
        entry.add(result)

    assert entry == Entry(reason="lost messages")


# ---------------------------------------------------------------- chart


def drawn() -> ElementTree.Element:
    return ElementTree.fromstring(chart(fixed_results()))


def test_the_chart_has_a_group_for_each_case_with_cpu_time() -> None:
    titles = [text.text for text in drawn().iter(f"{SVG}text") if text.get("class") == "title"]

    assert titles == ["publish 100 B", "publish 1 MB", "confirm, deferred", "RPC round trip"]


def test_bars_are_as_long_as_the_cpu_time() -> None:
    group = next(drawn().iter(f"{SVG}g"))
    bars = {str(bar.get("class")): float(bar.get("width", "0")) for bar in group.iter(f"{SVG}rect")}

    assert bars["peer"] == BAR
    assert bars["floor"] == pytest.approx(BAR / 20, abs=0.1)


def test_every_bar_has_a_name_and_a_label() -> None:
    group = next(drawn().iter(f"{SVG}g"))

    texts = [text.text for text in group.iter(f"{SVG}text")]
    assert texts == [
        "publish 100 B",
        *("ours", "5.00 us"),
        *("ours, compiled", "2.50 us (0.5)"),
        *("pika", "20.0 us (4)"),
        *("one write a message", "1.00 us (0.2)"),
    ]


def test_the_chart_marks_a_peer_that_is_ahead() -> None:
    texts = [text.text for text in drawn().iter(f"{SVG}text")]

    assert [text for text in texts if text and text.endswith("ahead")] == ["800 us (0.5) ahead"]


def test_the_chart_is_readable_in_light_and_dark_and_names_its_source() -> None:
    root = drawn()

    style = next(root.iter(f"{SVG}style")).text or ""
    assert "prefers-color-scheme: dark" in style
    for name in ("page", "ours", "peer", "floor"):
        assert style.count(f".{name} {{") == 2
    page = next(root.iter(f"{SVG}rect"))
    assert (page.get("width"), page.get("height")) == (root.get("width"), root.get("height"))
    texts = " ".join(text.text or "" for text in root.iter(f"{SVG}text"))
    for part in ("A <fast> one", "3.11.7", "4.3.6", "hatch run bench, commit 1234567, 2026-01-31"):
        assert part in texts


def test_nothing_of_the_chart_is_outside_of_it() -> None:
    root = drawn()

    width, height = (float(root.get(name, "0")) for name in ("width", "height"))
    for group in root.iter(f"{SVG}g"):
        x, y = map(float, re.findall(r"[\d.]+", group.get("transform", "")))
        for text in group.iter(f"{SVG}text"):
            characters = 6.5 * len(text.text or "") if text.get("text-anchor") != "end" else 0
            assert x + float(text.get("x", "0")) + characters <= width
            assert y + float(text.get("y", "0")) <= height


# ---------------------------------------------------------------- small runs


def here(_: Library) -> Environment:
    """Return the development environment, which has all libraries but aioamqp 0.15."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return Environment(sys.executable, {"PYTHONPATH": os.pathsep.join(path)})


def bench(url: str, *names: str) -> Bench:
    libraries = {LIBRARIES[name]: here(LIBRARIES[name]) for name in names}
    return Bench(url, libraries, Results(ABOUT), lambda _: None)


def measured(results: Results) -> dict[tuple[str, str], set[str] | str]:
    """Return the metrics of each case and library, or the reason why there are none."""
    return {
        (case, library): entry.reason or set(entry.values)
        for case, entries in results.cases.items()
        for library, entry in entries.items()
    }


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_command_measures_and_writes_its_files(
    rabbitmq_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--json", str(tmp_path / "out.json"), "--svg", str(tmp_path / "out.svg")]
    options = ["--quick", "--turns", "2", "--messages", "3", "--url", rabbitmq_url]

    status = main([*options, "--case", "get", "--peer", "pika", *files], here)

    assert status == 0
    results = load(tmp_path / "out.json")
    assert measured(results) == {("get", "ours"): {"cpu", "wall"}, ("get", "pika"): {"cpu", "wall"}}
    assert len(results.entry("get", "pika").values["cpu"]) == 2
    assert results.about["command"].endswith("bench --quick --turns 2 --messages 3"
                                             " --case get --peer pika")  # fmt: skip
    assert "pika" in (tmp_path / "out.svg").read_text()
    assert "get" in capsys.readouterr().out


@pytest.mark.slow
def test_a_library_that_cannot_be_installed_is_left_out(
    rabbitmq_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def not_pika(library: Library) -> Environment:
        if library.name == "pika":
            raise NotInstalled("pika cannot be installed: no network")
        return here(library)

    options = ["--turns", "1", "--messages", "1", "--url", rabbitmq_url, "--case", "get", "import"]
    main([*options, "--peer", "pika", "--json", str(tmp_path / "out.json")], not_pika)

    assert measured(load(tmp_path / "out.json")) == {
        ("get", "ours"): {"cpu", "wall"},
        ("import", "ours"): {"cpu", "wall"},
    }
    assert "Left out: pika cannot be installed: no network" in capsys.readouterr().err


def test_an_import_that_fails_is_no_result() -> None:
    library = Library("nothing", "nothing", module="no_such_module")

    result = Worker(library, here(library)).run_import()

    assert result == {"error": "ModuleNotFoundError: No module named 'no_such_module'"}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_every_library_runs_every_kind_of_case(rabbitmq_url: str) -> None:
    names = ("ours", "aiormq", "aio-pika", "pika", "py-amqp", "amqpstorm")
    # The first case of each kind: the others have more channels or larger bodies.
    kinds = {case.kind: case for case in reversed(CASES.values()) if case.size == 100}
    del kinds["import"]
    running = bench(rabbitmq_url, *names)

    running.turn(0, list(kinds.values()), dict.fromkeys(CASES, 2))

    found = measured(running.results)
    expected = {(case.name, name) for case in kinds.values() for name in names}
    assert found.keys() == expected
    for (case, library), metrics in found.items():
        if isinstance(metrics, str):
            assert re.match(r"has no|offers no|waits for", metrics), (case, library, metrics)
        elif case == "RPC round trip":
            assert metrics == {"cpu", "wall", "p50", "p99"}
        else:
            assert metrics in ({"cpu", "wall"}, {"memory"})
    assert not any(isinstance(found[case.name, "ours"], str) for case in kinds.values())


@pytest.mark.slow
def test_floors_read_and_write_all_messages(rabbitmq_url: str) -> None:
    floors = ("one write a message", "frame by frame", "reading alone", "one copy")
    names = ("publish 100 B", "publish 1 MB", "callback 100 B", "callback 1 MB")
    running = bench(rabbitmq_url, *floors)

    running.turn(0, [CASES[name] for name in names], dict.fromkeys(CASES, 7))

    assert measured(running.results) == {
        (case, floor): {"cpu", "wall"}
        for case, floor in [
            *(("publish 100 B", floors[0]), ("publish 1 MB", floors[1])),
            *(("callback 100 B", floor) for floor in floors[2:]),
            *(("callback 1 MB", floor) for floor in floors[2:]),
        ]
    }


def answering(tmp_path: Path, line: str) -> Environment:
    """Return an environment whose worker answers every case with a line, or ends if it is empty."""
    program = tmp_path / "worker"
    answer = f"while read job; do echo '{line}'; done" if line else "exit 1"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o700)
    return Environment(str(program))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"cpu": 1, "wall": 1}', "the queue has 0 messages afterwards instead of 2"),
        ('{"error": "OSError: lost"}', "OSError: lost"),
        ('{"cannot": "has no such call"}', "has no such call"),
        ("", f"did not finish within {TIME_LIMIT:.0f} seconds, or its process ended"),
    ],
)
def test_a_result_counts_only_if_the_broker_has_the_messages(
    line: str, reason: str, rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.broker.COUNT_SECONDS", 0.0)
    environments = {LIBRARIES["ours"]: answering(tmp_path, line)}
    running = Bench(rabbitmq_url, environments, Results(ABOUT), lambda _: None)

    running.turn(0, [CASES["publish 100 B"]], {"publish 100 B": 10})

    assert measured(running.results) == {("publish 100 B", "ours"): reason}


def test_the_broker_connection_counts_and_consumes(rabbitmq_url: str) -> None:
    with BrokerConnection(rabbitmq_url) as broker:
        broker.declare("test-benchmarks")
        broker.publish("test-benchmarks", 200_000, 3)

        assert broker.count("test-benchmarks", 3) == 3

        broker.delete("test-benchmarks")
        with pytest.raises(ConnectionError, match="404 NOT_FOUND"):
            broker.count("test-benchmarks", 0)
