"""Tasks for `run_tasks`; they live here because worker processes have to import them."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Note:
    """Writes a file; before that, it misbehaves as often as it is told to."""

    folder: Path
    name: str
    size: int = 10
    seconds: float = 0.0
    killed: int = 0
    """How often its process kills itself before it finishes."""
    holding: bool = False
    """Whether it is killed in the middle of telling of its progress."""
    error: Exception | None = None
    chatter: bool = False

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.txt"

    def runs(self) -> int:
        """How often it was begun."""
        return len(list(self.folder.glob(f"{self.name}.run.*")))

    def finished(self) -> bool:
        return self.path.exists()

    def run(self, advance: Callable[[int], None]) -> None:
        begun = self.runs()
        (self.folder / f"{self.name}.run.{begun}").write_text(f"{os.getpid()} {time.time()}")
        if self.chatter:
            print("chatter", file=sys.stderr)
        advance(self.size // 2)
        time.sleep(self.seconds)
        if begun < self.killed:
            if self.holding:
                hold_locks(advance)
            os.kill(os.getpid(), signal.SIGKILL)
        if self.error is not None:
            raise self.error
        advance(self.size - self.size // 2)
        self.path.write_text(place())


def hold_locks(advance: Callable[[int], None]) -> None:
    """Take the locks of what `advance` counts in, until whoever shows the progress must have looked for them."""
    for cell in advance.__closure__ or ():
        if hasattr(cell.cell_contents, "get_lock"):
            cell.cell_contents.get_lock().acquire()
    time.sleep(1.0)


def place() -> str:
    """Where this process runs: the Ray node, the Slurm task, or the process's number."""
    if "SLURM_ARRAY_TASK_ID" in os.environ:
        return f"slurm {os.environ['SLURM_ARRAY_TASK_ID']}"
    if "ray" in sys.modules:
        import ray

        if ray.is_initialized():
            return f"ray {ray.get_runtime_context().get_node_id()}"
    return f"process {os.getpid()}"


def corpus_bytes(folder: Path) -> dict[str, bytes]:
    """What a corpus folder holds for its users."""
    return {path.name: path.read_bytes() for path in [*folder.glob("*.parquet"), folder / "statistics.json"]}
