"""Files of data sets on the Hugging Face hub, downloaded once into its cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from unibert.corpus.hub import HubSilent, list_files
from unibert.errors import DataError, first_line

REVISIONS = ("main", "refs/convert/parquet")
"""Where files are looked for: as they were uploaded, then as the hub itself converts data sets to Parquet, which is
all that there is to read of one that is published as a loading script."""

Choose = Callable[[Sequence[str]], Iterable[str]]
"""Of all files of a data set those that are wanted; none, if it has another layout."""


def hub_files(name: str, choose: Choose) -> tuple[Path, list[str]]:
    """The chosen files of a data set, downloaded where they are not in the hub's cache yet.

    Without a network, what was downloaded before is used, if it is complete. The cache is where `HF_HOME` says.

    Args:
        name: `OWNER/NAME`, or `OWNER/NAME@REVISION` for a branch or commit.
        choose: says which files are wanted.

    Returns:
        The folder in the cache and the chosen files' paths in it; no paths, if none was chosen.

    Raises:
        DataError: no such data set, or the hub cannot be reached and the cache does not have it.
    """
    dataset, _, revision = name.partition("@")
    for asked in [revision] if revision else REVISIONS:
        silent: str | None = None
        try:
            listed = _listed(dataset, asked)
        except HubSilent as error:  # the cache may know
            silent = str(error)
            listed = _cached_list(dataset, asked)
        chosen = sorted(choose(listed or []))
        if chosen:
            return _downloaded(dataset, asked, chosen, silent), chosen
    if silent is not None:
        raise DataError(
            f"{name}: not in the cache of the Hugging Face hub, which cannot be reached ({silent})",
            "Check the network and run again, or name a local folder.",
        )
    return Path(), []


def _listed(dataset: str, revision: str) -> list[str] | None:
    """Every file of a data set; None if it has no such branch.

    Raises:
        HubSilent: the hub does not answer.
        DataError: there is no such data set.
    """
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        return list_files(dataset, "OWNER/NAME, such as facebook/xnli", revision)
    except RevisionNotFoundError:
        return None


def _cached_list(dataset: str, revision: str) -> list[str] | None:
    """Every file of a data set of which some were downloaded before; None if none was."""
    try:
        from huggingface_hub import get_cached_repo_tree

        return [file.path for file in get_cached_repo_tree(dataset, repo_type="dataset", revision=revision)]
    except Exception:  # also of a version that keeps no list; the library has no common exception
        return None


def _downloaded(dataset: str, revision: str, chosen: Sequence[str], silent: str | None) -> Path:
    """The folder in the cache that has the files.

    Args:
        dataset: its name.
        revision: the branch or commit.
        chosen: the files.
        silent: why the hub cannot be asked, if it cannot; then the cache must have them.

    Raises:
        DataError: it has not, or they cannot be downloaded.
    """
    from huggingface_hub import snapshot_download

    # Names are patterns to the library; [ would begin a set of characters.
    patterns = [name.replace("[", "[[]") for name in chosen]
    try:
        folder = Path(
            snapshot_download(
                dataset,
                repo_type="dataset",
                revision=revision,
                allow_patterns=patterns,
                local_files_only=silent is not None,
            )
        )
    except Exception as error:  # cut off, no permission, disk full: the library has no common exception
        if silent is None:
            raise DataError(
                f"{dataset}: cannot be downloaded from the Hugging Face hub ({first_line(error)})",
                "Check the network and run again: what was downloaded is kept. Or name a local folder.",
            ) from None
        folder = Path()
    missing = [name for name in chosen if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{dataset}: {missing[0]} is not in the cache of the Hugging Face hub" + (f" ({silent})" if silent else ""),
            "Check the network and run again, or name a local folder.",
        )
    return folder
