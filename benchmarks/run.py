"""Run every benchmark of this folder and write the table of the README from what they print."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
START, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"


def main() -> None:
    results = []
    for script in sorted(HERE.glob("*.py")):
        if script.name in ("run.py", "pairs.py") or script.name.startswith("fuzz_"):
            continue
        print(f"{script.name} ...", file=sys.stderr)
        out = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=HERE.parent)
        if out.returncode != 0:
            sys.exit(f"{script.name} failed:\n{out.stderr[-2000:]}")
        results += [{"script": script.name, **json.loads(line)} for line in out.stdout.splitlines() if line[:1] == "{"]
        if not out.stdout.strip():
            print(
                f"  {out.stderr.strip().splitlines()[-1] if out.stderr.strip() else 'printed nothing'}", file=sys.stderr
            )
    text = README.read_text(encoding="utf-8")
    README.write_text(re.sub(f"{START}.*{END}", lambda _: table(results), text, flags=re.DOTALL), encoding="utf-8")
    print(table(results))


def table(results: list[dict]) -> str:
    lines = [START, "| claim | ours | baseline | ratio (range) | script |", "|---|---|---|---|---|"]
    for r in results:
        baseline = f"{r['baseline']:,.4g} {r['unit']}" if "baseline" in r else ""
        ratio = f"**{r['ratio']:,.{0 if r['ratio'] >= 100 else 2}f}**" if "ratio" in r else ""
        if r.get("pairs", 1) > 1:
            ratio += f" ({r['lowest']:.2f} to {r['highest']:.2f}, {r['pairs']} pairs)"
        ours = f"{r['ours']:,.4g} {r['unit']}"
        lines.append(f"| {r['claim']} | {ours} | {baseline} | {ratio} | `benchmarks/{r['script']}` |")
    if results:
        machine = results[0]["hardware"]
        lines += ["", f"{machine['processor']}, {machine['cores']} cores, torch {results[0]['versions']['torch']}, "]
        lines[-1] += f"commit {results[0]['commit']}, {time.strftime('%Y-%m-%d')}; made by `make bench`."
    return "\n".join([*lines, END])


if __name__ == "__main__":
    main()
