"""Two processes against one with as many threads: the real `unibert pretrain`, alone and under `torchrun` with gloo.

Real runs of XXSmall with its teacher on the same samples, on the CPU's cores, half of them for each process. From
`log.jsonl`: the tokens per second of the steps after the first ones.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pairs import report
from pretrain_support import SEED, Scene, arguments, scene
from unibert.recipe import Recipe, Teacher
from unibert.recipe_file import to_toml


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="that count, after as many as `--warm`")
    parser.add_argument("--warm", type=int, default=4, help="steps before the ones that count")
    options = parser.parse_args()
    with scene(options) as place, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = write_recipe(folder, place, options.warm, options.steps)
        runs = {number: [] for number in (2, 1)}
        for _ in range(options.pairs):
            for number, rates in runs.items():
                rates.append(tokens_per_second(recipe, number, options.threads // number))
        claim = f"distillation of XXSmall: two processes against one with {options.threads} threads"
        report(claim, "tokens/s", runs[2], runs[1], asked="at least 0.9", device="cpu")


def write_recipe(folder: Path, place: Scene, warm: int, steps: int) -> Path:
    """A recipe whose tokens are the scene's and whose teacher is on the disk."""
    place.teacher().save_pretrained(folder / "teacher")
    for part in ("tokens", "tokenizer"):
        (folder / "run").mkdir(exist_ok=True)
        (folder / "run" / part).symlink_to((place.folder / part).absolute())
    settings = place.settings.model_copy(
        update={
            "student": place.students["xxsmall"],
            "steps": warm + steps,
            "warmup_steps": 0,
            "log_every": warm,
            "tensorboard": False,
            "compile": "off" if place.quick else "on",  # as in any long run
        }
    )
    recipe = Recipe(
        name="processes",
        folder=str(folder / "run"),
        seed=SEED,
        teacher=Teacher(model=str(folder / "teacher")),
        pretrain=settings,
    )
    path = folder / "recipe.toml"
    path.write_text(to_toml(recipe), encoding="utf-8")
    return path


def tokens_per_second(recipe: Path, processes: int, threads: int) -> float:
    """Of a new run, without its first interval of the log."""
    output = recipe.parent / "run" / "student"
    shutil.rmtree(output, ignore_errors=True)
    launcher = ["torch.distributed.run", "--nproc-per-node", str(processes), "-m"] if processes > 1 else []
    command = [sys.executable, "-m", *launcher, "unibert", "pretrain", str(recipe)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, threads)), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    lines = map(json.loads, (output / "log.jsonl").read_text(encoding="utf-8").splitlines())
    first, *rest = [line for line in lines if line["kind"] == "train"]
    tokens, seconds, before = 0, 0.0, first["tokens"]
    for line in rest:
        tokens += line["tokens"] - before
        seconds += (line["tokens"] - before) / line["tokens_per_second"]
        before = line["tokens"]
    return tokens / seconds


if __name__ == "__main__":
    main()
