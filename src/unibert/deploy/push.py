"""To the Hugging Face hub: a finished model's folder, checked before, whole or not at all, as often as you like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unibert.deploy.model_folder import ModelFolder, check_model, find_models
from unibert.errors import DataError, UniBertError

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi, ModelInfo

_MESSAGE = "Upload the model"


@dataclass(frozen=True)
class Upload:
    """What goes where."""

    repository: str
    """`user/name` on the hub."""
    model: ModelFolder
    card: bytes
    """README.md as it arrives: the code in it names the repository instead of the folder."""

    def sizes(self) -> dict[str, int]:
        """Bytes of every file that is sent, by name."""
        folder = self.model.folder
        return {
            name: len(self.card) if name == "README.md" else (folder / name).stat().st_size for name in self.model.files
        }

    def described(self, where: str = "") -> str:
        """The files with their sizes, one a line, and what is left out; `where` is said after the repository."""
        sizes = self.sizes()
        lines = [f"{self.model.folder} -> {self.repository}{where}"]
        lines += [f"  {size:>15,} bytes  {name}" for name, size in sizes.items()]
        lines += [f"  {sum(sizes.values()):>15,} bytes in all"]
        if self.model.left_out:
            more = f" and {len(self.model.left_out) - 8} more" if len(self.model.left_out) > 8 else ""
            lines += [f"  left out: {', '.join(self.model.left_out[:8])}{more}"]
        return "\n".join(lines)


@dataclass(frozen=True)
class Pushed:
    """What came of it."""

    repository: str
    commit: str
    """Of the repository's revision, afterwards."""
    changed: bool
    """Whether there is a new commit; not where the hub had the same files already."""


def push(
    place: Path,
    to: str,
    *,
    member: str | None = None,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    dry_run: bool = False,
    endpoint: str | None = None,
    token: str | None = None,
    tell: Callable[[str], None] = print,
) -> list[Pushed]:
    """Upload a finished model, or every member of a family, to the hub.

    Everything is checked before anything is sent. All files of a model arrive in one commit or not at all; what was
    sent before an upload broke off is not sent again, and the same content makes no new commit.

    Args:
        place: a model's folder or a run's (see `find_models`).
        to: `user/name` or `organisation/name`; a repository that is not there is made. The members of a family go to
            `user/name-member`.
        member: of a family only this one, to `to` itself.
        private: make new repositories private; refuse one that is public already.
        revision: a branch, made if it is not there; `main` when None.
        message: of the commit.
        dry_run: check and tell, but send nothing; needs neither network nor token.
        endpoint: address of the hub; `HF_ENDPOINT` or the library's own when None.
        token: with the right to write; `HF_TOKEN`, or that of `hf auth login`, when None.
        tell: is given what is to be said.

    Raises:
        DataError: no finished model there, or one that others could not load.
        UniBertError: no token, no permission, no network, a name that the hub does not allow.
    """
    models = find_models(place, member)
    names = {name: f"{to}-{name}" if name else to for name in models}
    for repository in names.values():
        _check_name(repository)
    uploads = [_prepare(names[name], folder) for name, folder in models.items()]
    where = (f", branch {revision}" if revision else "") + (", private" if private else "")
    for upload in uploads:
        tell(upload.described(where))
    if dry_run:
        tell("nothing was sent: --dry-run")
        return []
    api = _api(endpoint, token)
    done = []
    for upload in uploads:
        done.append(_send(api, upload, private, revision, message or _MESSAGE))
        what = "uploaded" if done[-1].changed else "was there already, nothing new"
        tell(f"{upload.repository}: {what}, commit {done[-1].commit[:12]}")
    return done


def _check_name(repository: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    fix = "Write --to USER/NAME: letters, digits, '-', '_' and '.', at most 96."
    if repository.count("/") != 1:
        raise UniBertError(f"--to {repository}: not of the form USER/NAME", fix)
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UniBertError(f"--to {repository}: no name that the hub allows ({error})", fix) from None


def _prepare(repository: str, folder: Path) -> Upload:
    from unibert.pretrain.card import CARD, named

    model = check_model(folder)
    return Upload(repository, model, named((folder / CARD).read_text(encoding="utf-8"), repository).encode())


def _api(endpoint: str | None, token: str | None) -> HfApi:
    from huggingface_hub import HfApi, get_token

    token = token or get_token()
    if not token:
        raise UniBertError(
            "no token for the Hugging Face hub",
            "Make one with the right to write in your account's settings, then set HF_TOKEN or run `hf auth login`.",
        )
    return HfApi(endpoint=endpoint, token=token, library_name="unibert")


def _send(api: HfApi, upload: Upload, private: bool, revision: str | None, message: str) -> Pushed:
    name = upload.repository
    with _told(name):
        before = _find_or_make(api, name, private, revision)
        if private and not before.private:
            raise UniBertError(
                f"{name}: is public already; nothing was sent",
                "Make it private on the hub first, choose another name, or leave --private out.",
            )
        commit = api.create_commit(name, _operations(upload), commit_message=message, revision=revision)
    return Pushed(name, commit.oid, commit.oid != before.sha)


def _find_or_make(api: HfApi, name: str, private: bool, revision: str | None) -> ModelInfo:
    """The repository and its branch as they are before the upload; asks first, as a token may write but not create."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        return api.model_info(name, revision=revision)
    except RepositoryNotFoundError:
        api.create_repo(name, private=private or None, exist_ok=True)
        if revision is not None:
            api.create_branch(name, branch=revision, exist_ok=True)
    except RevisionNotFoundError:
        api.create_branch(name, branch=str(revision), exist_ok=True)
    return api.model_info(name, revision=revision)


def _operations(upload: Upload) -> list[CommitOperationAdd]:
    from huggingface_hub import CommitOperationAdd

    contents: dict[str, Any] = {name: upload.model.folder / name for name in upload.model.files}
    contents["README.md"] = upload.card
    return [CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in contents.items()]


@contextmanager
def _told(repository: str) -> Iterator[None]:
    """What fails in here is told with what to do about it."""
    try:
        yield
    except UniBertError:
        raise
    except Exception as error:  # the library, its HTTP client and its storage client have no exception in common
        status = _status(error)
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        again = "Run the same command again: what has arrived is not sent twice."
        if status == 401:
            raise UniBertError(
                f"{repository}: the hub does not accept the token ({line})",
                "Make a new token with the right to write, then set HF_TOKEN or run `hf auth login`.",
            ) from error
        if status == 403:
            raise UniBertError(
                f"{repository}: this token may not write there ({line})",
                "Give it the right to write, ask the organisation, or push to a name of your own.",
            ) from error
        if status is not None:
            fix = again if status in (408, 409, 412, 429) or status >= 500 else "Correct what the hub says."
            raise UniBertError(f"{repository}: the hub answered {status} ({line})", fix) from error
        if isinstance(error, ValueError) and "README" in str(error):
            problem = " ".join(str(error).split())
            raise DataError(f"{repository}: {problem}", "Correct the lines between the two --- at its top.") from error
        raise UniBertError(
            f"{repository}: the upload broke off ({line})", f"Check the network and HF_ENDPOINT. {again}"
        ) from error


def _status(error: BaseException | None) -> int | None:
    """The HTTP status that led to an error, if there was one."""
    while error is not None:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
        error = error.__cause__
    return None
