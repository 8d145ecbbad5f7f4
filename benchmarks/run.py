"""Run benchmarks of this folder, keep what they print in `results.jsonl`, and write the README's table from that.

    python benchmarks/run.py                          every script
    python benchmarks/run.py pretrain_step wikitext   only these; the rows of the others stay as they are
    python benchmarks/run.py --table                  none: only write the table again

A row of `results.jsonl` is one claim with its date, commit and hardware. A run replaces the rows of its script that
come from the same kind of machine; a GPU's figures stand beside a CPU's, in a table of their own.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
RESULTS = HERE / "results.jsonl"
START, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
NO_CLAIM = {"run", "pairs", "pretrain_support", "pretrain_baselines", "fuzz_wikitext"}
Row = dict[str, Any]


def main() -> None:
    scripts = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in NO_CLAIM)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scripts", nargs="*", metavar="script", help=f"of {', '.join(scripts)}; all when none is named")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    chosen = [name.removesuffix(".py").rpartition("/")[2] for name in options.scripts]
    if unknown := sorted(set(chosen) - set(scripts)):
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(scripts)}")
    rows = [row for row in read_rows(RESULTS) if row["script"] in scripts]
    try:
        for name in () if options.table else chosen or scripts:
            rows = replaced(rows, name, measure(name))
    finally:  # what was measured is kept whatever happens to the rest; before the end it would make the commit dirty
        RESULTS.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        write_table(rows)
    print("\n".join(tables(rows)))


def measure(name: str) -> list[Row]:
    """Run a script; its rows, with today's date."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    began = time.monotonic()
    command = [sys.executable, str(HERE / f"{name}.py")]
    out = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent)
    if out.returncode != 0:
        sys.exit(f"{name} failed:\n{out.stderr[-2000:]}")
    found = [json.loads(line) for line in out.stdout.splitlines() if line.startswith("{")]
    complaint = "" if found else f"; {(out.stderr.strip() or 'printed nothing').splitlines()[-1]}"
    print(f"  {time.monotonic() - began:.0f} s{complaint}", file=sys.stderr, flush=True)
    return [{"script": name, "date": time.strftime("%Y-%m-%d"), **row} for row in found]


def read_rows(path: Path) -> list[Row]:
    """The rows of an earlier run; none where there was none."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def replaced(rows: Sequence[Row], script: str, new: Sequence[Row]) -> list[Row]:
    """The rows with those of one script on one machine replaced; nothing changes where nothing came out."""
    machines = {machine_of(row) for row in new}
    kept = [row for row in rows if row["script"] != script or machine_of(row) not in machines]
    return sorted([*kept, *new], key=lambda row: row["script"])  # a stable sort: within a script as printed


def machine_of(row: Mapping[str, Any]) -> str:
    """What a figure was measured on, in words."""
    device = row.get("device", "cpu")
    hardware = row["hardware"]
    cores = f"{hardware['processor']}, {hardware['cores']} cores"
    return cores if device == "cpu" else f"{device} ({cores})"


def write_table(rows: Sequence[Row]) -> None:
    """Put the tables into the README."""
    text = README.read_text(encoding="utf-8")
    block = "\n".join([START, *tables(rows), END])
    README.write_text(re.sub(f"{START}.*{END}", lambda _: block, text, flags=re.DOTALL), encoding="utf-8")


def tables(rows: Sequence[Row]) -> list[str]:
    """A table for each machine."""
    lines: list[str] = []
    for machine in dict.fromkeys(map(machine_of, rows)):
        own = [row for row in rows if machine_of(row) == machine]
        versions = sorted({str(row["versions"].get("torch", "?")) for row in own})
        lines += [
            *([""] if lines else []),
            f"On {machine}, torch {' and '.join(versions)}; made by `make bench`, each row at the commit it names.",
            "",
            "| claim | asked | ours | baseline | ratio (range) | measured | script |",
            "|---|---|---|---|---|---|---|",
            *map(line_of, own),
        ]
    return lines


def line_of(row: Mapping[str, Any]) -> str:
    """A row in Markdown."""
    ours = f"{row['ours']:,.4g} {row['unit']}"
    if "runs" in row:
        ours += f" ({row['lowest']:.4g} to {row['highest']:.4g}, {row['runs']} runs)"
    baseline = f"{row['baseline']:,.4g} {row['unit']}" if "baseline" in row else ""
    ratio = f"**{ratio_of(row['ratio'])}**" if "ratio" in row else ""
    if row.get("pairs", 1) > 1:
        ratio += f" ({ratio_of(row['lowest'])} to {ratio_of(row['highest'])}, {row['pairs']} pairs)"
    cells = (row["claim"], row.get("asked", ""), ours, baseline, ratio, f"{row['commit']}, {row['date']}")
    return f"| {' | '.join(cells)} | `benchmarks/{row['script']}.py` |"


def ratio_of(value: float) -> str:
    """Two digits behind the point; none of large ones, two significant ones of small ones."""
    if value < 0.1:
        return f"{value:.2g}"
    return f"{value:,.{0 if value >= 100 else 2}f}"


if __name__ == "__main__":
    main()
