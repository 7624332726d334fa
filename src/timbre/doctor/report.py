"""The report of `timbre doctor`: all findings together, as data and as text that can be pasted into an issue."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from timbre import __version__
from timbre.doctor.devices import Accelerator, Processor, find_accelerators, read_processor
from timbre.doctor.packages import PackageState, installed_packages
from timbre.doctor.self_test import SelfTest, run_self_test
from timbre.doctor.weights import WeightsState, find_weights


@dataclass(frozen=True)
class DoctorReport:
    """Everything that was found; `self_test` is None where it was not asked for or no voice is on this machine."""

    healthy: bool
    timbre: str
    python: str
    system: str
    processor: Processor
    accelerators: tuple[Accelerator, ...]
    packages: tuple[PackageState, ...]
    weights: tuple[WeightsState, ...]
    self_test: SelfTest | None


def examine(*, with_self_test: bool = True) -> DoctorReport:
    """Examine this installation; healthy means that no core package is missing and the self-test did not fail."""
    packages = installed_packages()
    self_test = run_self_test() if with_self_test else None
    complete = all(package.version is not None for package in packages if package.extra == "core")
    return DoctorReport(
        healthy=complete and (self_test is None or self_test.passed),
        timbre=__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=read_processor(),
        accelerators=find_accelerators(),
        packages=packages,
        weights=find_weights(),
        self_test=self_test,
    )


def render_text(report: DoctorReport) -> str:
    """Return the report as plain text, without private paths."""
    lines = [
        f"timbre {report.timbre}, Python {report.python}, {report.system}",
        "",
        *_device_lines(report),
        "",
        "packages",
        *(f"  {each.name:<18} {each.version or 'not installed':<14} [{each.extra}]" for each in report.packages),
        "",
        "weights",
        *(f"  {each.origin:<32} {_size(each.size_bytes):<10} {each.purpose}" for each in report.weights),
        "",
        f"self-test: {_self_test_sentence(report.self_test)}",
        f"result: {'all is well' if report.healthy else 'something is wrong, see above'}",
    ]
    return "\n".join(lines)


def _device_lines(report: DoctorReport) -> list[str]:
    processor = report.processor
    flags = (
        "instructions unknown"
        if processor.instructions is None
        else " ".join(processor.instructions) or "no vector units"
    )
    lines = ["devices", f"  cpu     {processor.model}, {processor.usable_cores} cores, {flags}"]
    for each in report.accelerators:
        memory = f", {each.memory_gib:.0f} GiB" if each.memory_gib is not None else ""
        lines.append(f"  {each.device:<7} {each.name}{memory}")
    return lines if report.accelerators else [*lines, "  no CUDA or Apple GPU"]


def _size(size_bytes: int | None) -> str:
    return "absent" if size_bytes is None else f"{size_bytes / 1e6:.1f} MB"


def _self_test_sentence(test: SelfTest | None) -> str:
    if test is None:
        return "not run (not asked for, or no voice on this machine)"
    verdict = "passed" if test.passed else "FAILED"
    if test.error is not None:
        return f"{verdict} with voice {test.voice}: {test.error}"
    if test.pitch_error_cents is None or test.times_real_time is None:
        return f"{verdict} with voice {test.voice}: the converted tone has no pitch"
    return (
        f"{verdict} with voice {test.voice}: pitch {test.pitch_error_cents:.0f} cents off, "
        f"{100 * (test.voiced_ratio or 0):.0f} % voiced, {test.times_real_time:.1f} times real time"
    )
