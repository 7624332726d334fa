"""`timbre doctor`: check this installation and report on it."""

from __future__ import annotations

import typer

from timbre.cli.tables import json_line

EXIT_UNWELL = 1


def doctor(
    json: bool = typer.Option(False, "--json", help="print one JSON object"),
    self_test: bool = typer.Option(
        True,
        "--self-test/--no-self-test",
        help="convert a two-second tone and measure pitch and speed",
        show_default=False,
    ),
) -> None:
    """Check this installation: packages, devices, weights and a short conversion.

    The report holds no private paths and can be pasted into an issue. The exit code is 1 when the self-test fails.
    """
    from timbre.doctor.report import examine, render_text

    report = examine(with_self_test=self_test)
    print(json_line(report) if json else render_text(report))
    if not report.healthy:
        raise typer.Exit(EXIT_UNWELL)
