"""Whether the parts of a run were made from one another: tokens, then models, then results.

Stages can be repeated one by one, so a folder may hold a model of older tokens or results of older weights. Only
fingerprints are compared; weights are read as bytes, torch is not needed.
"""

from __future__ import annotations

import os

from unibert.errors import DataError
from unibert.files import fingerprint, read_json
from unibert.report.collect import Run
from unibert.report.reading import Gap
from unibert.report.trainings import GROUPS
from unibert.report.wording import plural
from unibert.tasks.encoder import find_encoder


def mismatches(run: Run) -> list[Gap]:
    """A gap for every model and every model's results that come from something else than what the folder holds now.

    What is not there, or cannot be read, is not compared: `collect` names it.
    """
    return [*_other_tokens(run), *_other_weights(run)]


def _other_tokens(run: Run) -> list[Gap]:
    try:
        present = fingerprint(read_json(run.folder / "tokens" / "index.json"))  # as TokenStore.fingerprint
    except (DataError, OSError):
        return []
    found = []
    for group in GROUPS:
        identity = run.stages.get(group, {}).get("identity")
        used = identity.get("tokens") if isinstance(identity, dict) else None
        if used and used != present:
            was, it = ("were", "they") if group == "students" else ("was", "it")
            reason = (
                f"the {group} {was} trained on other tokens than tokens/ holds now: the corpus told here is not the "
                f"one {it} learned from; delete {group}/ and run `unibert pretrain`"
            )
            found.append(Gap(f"{group}/", "out of date", reason))
    return found


def _other_weights(run: Run) -> list[Gap]:
    found = []
    for role, training in run.trainings.items():
        results = [result for result in run.results if result.model == role]
        place = f"{training.folder}/model"
        folder = run.folder / place
        # A teacher that the recipe takes from elsewhere is not the one that a folder of that name holds.
        foreign = role == "teacher" and run.recipe is not None and run.recipe.teacher.train is None
        if not results or foreign or not os.path.isdir(folder):
            continue
        try:
            present = find_encoder(folder, role).fingerprint
        except DataError as error:
            reason = error.message.replace(f"{run.folder}/", "").removeprefix(f"model {role}: ")
            found.append(Gap(f"{place}/", "damaged", reason))
            continue
        except OSError as error:
            found.append(Gap(f"{place}/", "damaged", f"cannot be read ({error.strerror})"))
            continue
        others = [result for result in results if result.model_fingerprint != present]
        if others:
            which = "the results" if len(others) == len(results) else plural(len(others), "result")
            reason = (
                f"{which} for {role} {'was' if len(others) == 1 < len(results) else 'were'} made with other weights "
                f"than {place} has now; run `unibert benchmark`"
            )
            found.append(Gap(f"benchmark/results/ ({role})", "out of date", reason))
    return found
