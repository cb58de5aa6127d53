#!/usr/bin/env python3
"""Prints measured figures beside their limits; exits with 1 when one is over, or
when one that has a limit was not measured.

Usage: bench_report.py TARGET_DIRECTORY
"""

import json
import math
import subprocess
import sys
import time
from pathlib import Path

# Criterion's id, what it is, limit in microseconds (none: shown only).
MEDIANS = [
    ("plugin_call/sandboxed/3", "one plugin call, 3 nodes", 300),
    ("plugin_call/native/3", "  the same logic, native", None),
    ("nsg_place/narrow/1000", "NSG of 1,000 rules: priority and delta, one insert", 5_000),
    ("nsg_place/wide/1000", "  an insert that meets every rule", 5_000),
    ("plugin_plan/sandboxed/judging", "  reading and judging the group in the sandbox", None),
    ("plugin_plan/sandboxed/addresses", "  plan in the sandbox, narrow rule", 15_000),
    ("plugin_plan/native/addresses", "  the same, native", None),
    ("plugin_plan/sandboxed/subnet", "  plan in the sandbox, wide rule", None),
    ("plugin_plan/native/subnet", "  the same, native", None),
    ("nsg_delta/100", "NSG delta of a wide insert, 100 rules", None),
    ("nsg_delta/1000", "  1,000 rules", None),
    ("nsg_delta/10000", "  10,000 rules", None),
    ("nsg_adversarial/1000", "adversarial NSG of 1,000 rules", 1_000_000),
    ("nsg_adversarial/unknown_tags", "  its delta, 300 rules of as many unknown tags", 1_000_000),
    ("iptables_parse_and_decide_10250/100", "iptables, 100 rules", None),
    ("iptables_parse_and_decide_10250/1000", "  1,000 rules", None),
    ("iptables_parse_and_decide_10250/10000", "  10,000 rules", 25_000),
    ("iptables_adversarial/verdicts/1000", "adversarial iptables of 1,000 rules", 1_000_000),
    ("iptables_adversarial/delta/1000", "  its delta", 1_000_000),
    ("iptables_delta_drop_deleted/10000", "node delta, 10,000 rules, a DROP less", None),
    ("iptables_delta_ufw_disabled/10000", "  ufw turned off", None),
]
# What n·log n makes of ten times the rules, and a fifth more: memory is fresh and
# caches are too small where there is much of it, and measuring is noisy.
GROWTH_MARGIN = 1.2
SIZES = (100, 1_000, 10_000)
GROWTHS = [
    ("nsg_delta/{}", "growth of an NSG delta"),
    ("iptables_parse_and_decide_10250/{}", "growth of reading iptables"),
]
FAULTS = [("nsg", "an NSG denies"), ("one_node", "one node's iptables drops")]
DIAGNOSIS_LIMIT_US = 250_000
# Linear growth: ten times the nodes, ten times as long, and noise.
LINEAR_LIMIT = 14
SANDBOX_LIMIT = 3
START_LIMIT_MS = 300
MEMORY_LIMIT_MIB = 60
LIVE_LIMIT_MS = 10_000
OWN_LIMIT_MS = 200
DEMO_LIMIT_S = 60


class Report:
    """Rows of figures, and how many do not keep their limit."""

    def __init__(self):
        self.rows, self.not_kept = [], 0

    def row(self, what, value, unit, limit=None):
        """One figure. What was not measured keeps no limit."""
        bound = "" if limit is None else f"< {limit:,} {unit}"
        if value is None:
            self.not_kept += limit is not None
            self.rows.append(f"{what:52} {'not measured':>15} {bound:>16} {'MISSING' if bound else ''}")
            return
        verdict = "" if limit is None else ("ok" if value < limit else "OVER")
        self.not_kept += verdict == "OVER"
        self.rows.append(f"{what:52} {value:>11,.1f} {unit:3} {bound:>16} {verdict}")


def ratio(above, below):
    """Their quotient, if both were measured."""
    return above / below if above is not None and below else None


def medians(report: Report, target: Path):
    """What criterion measured."""
    def median_us(name: str):
        file = target / "criterion" / name / "new" / "estimates.json"
        if not file.is_file():
            return None
        return json.loads(file.read_text())["median"]["point_estimate"] / 1000

    def placing_us(rule: str):
        """What a plan in the sandbox takes beyond reading and judging the group."""
        whole, judging = (median_us(f"plugin_plan/sandboxed/{what}") for what in (rule, "judging"))
        return whole - judging if whole is not None and judging is not None else None

    for name, what, limit in MEDIANS:
        report.row(what, median_us(name), "us", limit)
        if name == "plugin_plan/sandboxed/subnet":
            report.row("    of which priority and delta", placing_us("subnet"), "us", 15_000)
    report.row("one plugin call, sandboxed / native", ratio(
        median_us("plugin_call/sandboxed/3"), median_us("plugin_call/native/3")),
        "x", SANDBOX_LIMIT)
    for pattern, what in GROWTHS:
        figures = {size: median_us(pattern.format(size)) for size in SIZES}
        for less, more in zip(SIZES, SIZES[1:]):
            limit = more * math.log(more) / (less * math.log(less)) * GROWTH_MARGIN
            grown = ratio(figures[more], figures[less])
            report.row(f"{what}, {less:,} to {more:,} rules", grown, "x", round(limit, 1))
    for fault, what in FAULTS:
        both = []
        for nodes in (10, 100, 1000):
            parts = [median_us(f"all_plugins_{fault}/{part}/{nodes}") for part in ("diagnose", "plan")]
            both.append(None if None in parts else sum(parts))
            limit = DIAGNOSIS_LIMIT_US if nodes == 1000 else None
            report.row(f"all plugins diagnose, one plans, {nodes:,} nodes, by the clock", both[-1], "us", limit)
        report.row(f"  growth to 1,000 nodes ({what})", ratio(both[2], both[1]), "x", LINEAR_LIMIT)


def figures(target: Path, name: str):
    """What a bench wrote itself."""
    file = target / "tmp" / f"{name}.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def demo_seconds(target: Path):
    """How long the demonstration takes once it is built; None when it cannot
    be shown here."""
    demo = target / "release" / "naosu-demo"
    begun = time.monotonic()
    ended = subprocess.run([demo], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           check=False)
    if ended.returncode != 0:
        print("the demonstration did not succeed:\n" + ended.stdout[-2000:])
        return None
    return time.monotonic() - begun


def main() -> int:
    """Prints the report."""
    target = Path(sys.argv[1])
    report = Report()
    medians(report, target)
    start = figures(target, "start")
    report.row("naosu serve to SERVING, warm cache", start.get("warm_median_ms"), "ms", START_LIMIT_MS)
    report.row("  best of 9 starts", start.get("warm_best_ms"), "ms")
    report.row("  cold cache: every plugin compiled", start.get("cold_ms"), "ms")
    resident = start.get("resident_kib")
    report.row("resident memory, idle", resident and resident / 1024, "MiB", MEMORY_LIMIT_MIB)
    live = figures(target, "lab_diagnosis")
    report.row("live diagnosis of 3 nodes in the lab", live.get("total_ms"), "ms", LIVE_LIMIT_MS)
    report.row("  Naosu's processor time, start included", live.get("processor_ms"), "ms", OWN_LIMIT_MS)
    report.row("  time without any read under way", live.get("own_ms"), "ms", OWN_LIMIT_MS)
    report.row("make demo, once built", demo_seconds(target), "s", DEMO_LIMIT_S)
    print("\n" + "\n".join(report.rows))
    return 1 if report.not_kept else 0


if __name__ == "__main__":
    sys.exit(main())
