"""Parquet data sets of the Hugging Face hub, downloaded once into its cache."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from unibert.corpus.texts import language_of_text
from unibert.errors import DataError, first_line

_SHOWN = 12  # configurations that an error names


def hub_files(names: Sequence[str], languages: Sequence[str] | None = None) -> list[Path]:
    """The Parquet files of data sets, in the hub's cache on this machine; downloads those that are not there.

    Without a network, what was downloaded before is used, if it is complete. The cache is where `HF_HOME` says.

    Args:
        names: `NAME:CONFIGURATION`, such as `wikimedia/wikipedia:20231101.de`; the configuration is the files' folder
            in the data set. Without one, all folders are taken whose name has a language.
        languages: of a data set without a configuration take these only.

    Raises:
        DataError: no such data set or configuration, or the hub cannot be reached and the cache does not have it.
    """
    found: dict[Path, None] = {}  # each once, in order
    for name in names:
        found |= dict.fromkeys(_files(name, languages))
    return list(found)


def _files(name: str, languages: Sequence[str] | None) -> list[Path]:
    from huggingface_hub import snapshot_download

    dataset, _, configuration = name.partition(":")
    try:
        patterns, silent = _patterns(dataset, configuration, languages), None
    except HubSilent as error:  # the cache may have it
        patterns, silent = [f"{configuration}/*.parquet" if configuration else "*.parquet"], error
    try:
        folder = Path(
            snapshot_download(
                dataset, repo_type="dataset", allow_patterns=patterns, local_files_only=silent is not None
            )
        )
    except Exception as error:  # cut off, no permission, disk full: the library has no common exception
        raise DataError(
            f"{name}: cannot be downloaded from the Hugging Face hub, and is not whole in its cache "
            f"({first_line(silent or error)})",
            "Check the network and run again: what was downloaded is kept. Or name local Parquet in corpus.text.",
        ) from None
    there = sorted(path for path in folder.rglob("*.parquet") if path.is_file())
    # The cache may hold other configurations as well, of an earlier run.
    chosen = [path for path in there if any(fnmatchcase(path.relative_to(folder).as_posix(), p) for p in patterns)]
    if not configuration:
        chosen = [path for path in chosen if _wanted(path, languages)]
    if not chosen:
        raise DataError(
            f"{name}: not in the cache of the Hugging Face hub, which cannot be reached ({first_line(silent)})",
            "Check the network, or name local Parquet in corpus.text.",
        )
    return chosen


class HubSilent(Exception):
    """The hub cannot be asked what there is."""


def list_files(dataset: str, written: str, revision: str | None = None) -> list[str]:
    """Every file of a data set on the hub.

    Args:
        dataset: its name there.
        written: how users write it, with an example, for the message.
        revision: a branch or a commit; the main branch when None.

    Raises:
        HubSilent: the hub does not answer.
        RevisionNotFoundError: the hub's own; there is no such branch.
        DataError: there is no such data set.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return [file.rfilename for file in HfApi().dataset_info(dataset, revision=revision).siblings or ()]
    except HFValidationError:
        raise DataError(f"{dataset}: not the name of a data set on the Hugging Face hub", f"Write {written}.") from None
    except RevisionNotFoundError:
        raise
    except RepositoryNotFoundError:
        raise DataError(
            f"{dataset}: no such data set on the Hugging Face hub, or no permission to read it",
            "Check the name; for a private data set run `hf auth login`.",
        ) from None
    except Exception as error:  # no network, a proxy, an outage, offline mode: the library has no common exception
        raise HubSilent(first_line(error)) from None


def _patterns(dataset: str, configuration: str, languages: Sequence[str] | None) -> list[str]:
    """The files to download.

    Raises:
        HubSilent: the hub does not answer.
        DataError: there are none.
    """
    listed = list_files(dataset, "OWNER/NAME:CONFIGURATION, such as wikimedia/wikipedia:20231101.de")
    tables = [PurePosixPath(file) for file in listed if file.endswith(".parquet")]
    if configuration:
        chosen = [file for file in tables if PurePosixPath(configuration) in file.parents]
        what = f"no configuration {configuration!r} with Parquet files"
    else:
        chosen = [file for file in tables if _wanted(file, languages)]
        what = f"no Parquet files in folders called after {', '.join(languages) if languages else 'languages'}"
    if not chosen:
        folders = sorted({str(file.parent) for file in tables})
        more = f" and {len(folders) - _SHOWN} more" if len(folders) > _SHOWN else ""
        raise DataError(
            f"{dataset}: {what} in this data set",
            f"There are: {', '.join(folders[:_SHOWN])}{more}." if folders else "It has no Parquet files at all.",
        )
    return [str(file) for file in chosen]


def _wanted(file: Path | PurePosixPath, languages: Sequence[str] | None) -> bool:
    try:
        code = language_of_text(Path(file))
    except DataError:
        return False
    return languages is None or code in languages
