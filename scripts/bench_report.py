#!/usr/bin/env python3
"""Prints measured figures beside their limits; exits with 1 when one is over.

Usage: bench_report.py TARGET_DIRECTORY NAOSU_BINARY
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Criterion's id, what it is, limit in microseconds (none: shown only).
MEDIANS = [
    ("plugin_call/sandboxed/3", "one plugin call, 3 nodes", 300),
    ("plugin_call/native/3", "the same logic, native", None),
    ("nsg_place/narrow/1000", "NSG of 1,000 rules: priority and delta, one insert", 5_000),
    ("nsg_place/wide/1000", "the same, an insert that meets every rule", 5_000),
    ("nsg_adversarial/1000", "adversarial NSG of 1,000 rules", 1_000_000),
    ("iptables_parse_and_decide_10250/100", "iptables, 100 rules", None),
    ("iptables_parse_and_decide_10250/1000", "iptables, 1,000 rules", None),
    ("iptables_parse_and_decide_10250/10000", "iptables, 10,000 rules", 25_000),
]
STARTS = 5
START_LIMIT_MS = 300
MEMORY_LIMIT_MIB = 60


def median_us(target: Path, name: str):
    """Median of a criterion benchmark in microseconds, or None."""
    file = target / "criterion" / name / "new" / "estimates.json"
    if not file.is_file():
        return None
    return json.loads(file.read_text())["median"]["point_estimate"] / 1000


def start_ms_and_memory_mib(binary: str):
    """Best of several starts until the socket serves, and resident memory then."""
    best, memory = None, None
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, XDG_CACHE_HOME=f"{folder}/cache", HOME=folder)
        for _ in range(STARTS + 1):  # the first one fills the cache
            socket = Path(folder) / "naosu.sock"
            socket.unlink(missing_ok=True)
            begun = time.perf_counter()
            server = subprocess.Popen(
                [binary, "serve", "--set", f"listen.unix={socket}",
                 "--set", f"store.path={folder}/naosu.db"],
                env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                while not socket.exists():
                    if server.poll() is not None:
                        raise SystemExit(f"naosu serve ended: {server.stderr.read().decode()}")
                    if time.perf_counter() - begun > 60:
                        raise SystemExit("naosu serve does not listen")
                    time.sleep(0.001)
                elapsed = (time.perf_counter() - begun) * 1000
                status = Path(f"/proc/{server.pid}/status").read_text()
                kib = next(int(line.split()[1]) for line in status.splitlines()
                           if line.startswith("VmRSS:"))
                memory = kib / 1024
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait(30)
            best = elapsed if best is None else min(best, elapsed)
    return best, memory


def main() -> int:
    target, binary = Path(sys.argv[1]), sys.argv[2]
    rows, over = [], 0

    def row(what, value, unit, limit):
        nonlocal over
        verdict = "" if limit is None else ("ok" if value < limit else "OVER")
        over += verdict == "OVER"
        bound = "" if limit is None else f"< {limit:,} {unit}"
        rows.append(f"{what:48} {value:>10,.1f} {unit:3} {bound:>16} {verdict}")

    for name, what, limit in MEDIANS:
        value = median_us(target, name)
        if value is None:
            rows.append(f"{what:48} {'not measured':>14}")
        else:
            row(what, value, "us", limit)
    sandboxed = median_us(target, "plugin_call/sandboxed/3")
    native = median_us(target, "plugin_call/native/3")
    if sandboxed and native:
        row("sandboxed / native", sandboxed / native, "x", 3)
    start, memory = start_ms_and_memory_mib(binary)
    row("naosu serve to listening, warm cache", start, "ms", START_LIMIT_MS)
    row("resident memory, idle", memory, "MiB", MEMORY_LIMIT_MIB)
    print("\n" + "\n".join(rows))
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
