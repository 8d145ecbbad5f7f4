"""Stand-ins for Slurm's programs, which really run the tasks."""

import os
import stat
import sys
from pathlib import Path

SBATCH = """\
#!{python}
# Stands in for Slurm's sbatch: really runs the tasks of the array, one after the other, in the background.
import os, re, subprocess, sys

home = os.path.dirname(os.path.abspath(__file__))
if os.path.exists(f"{{home}}/refuse"):
    sys.exit(print("sbatch: error: invalid partition specified", file=sys.stderr) or 1)
script = open(sys.argv[-1]).read()
options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", script, re.MULTILINE))
open(f"{{home}}/options", "a").write(f"{{options}}\\n")
last = int(re.match(r"0-(\\d+)", options["array"])[1])
number = len(os.listdir(f"{{home}}/jobs")) + 41
open(f"{{home}}/jobs/{{number}}", "w").close()
open(f"{{home}}/script", "w").write(script)
runner = (
    "import os, subprocess, sys\\n"
    "for task in range(%d):\\n"
    "    if os.path.exists('{{home}}/lose') and task == 1: continue\\n"
    "    environment = dict(os.environ, SLURM_ARRAY_TASK_ID=str(task), SLURM_NODELIST='here', RUN_OFFSET='0')\\n"
    "    log = open('%s'.replace('%%A', '%d').replace('%%a', str(task)), 'w')\\n"
    "    subprocess.run(['bash', '{{home}}/script'], env=environment, stdout=log, stderr=log)\\n"
    "os.unlink('{{home}}/jobs/%d')\\n"
    % (last + 1, options["output"], number, number)
).replace("{{home}}", home)
subprocess.Popen([sys.executable, "-c", runner], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(f"Submitted batch job {{number}}")
"""
SQUEUE = """\
#!{python}
import os, sys

home = os.path.dirname(os.path.abspath(__file__))
job = sys.argv[sys.argv.index("-j") + 1]
if not os.path.exists(f"{{home}}/jobs/{{job}}"):
    sys.exit(print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr) or 1)
print("RUNNING\\nPENDING")
"""
SCONTROL = "#!/bin/sh\necho localhost\n"


def install_slurm(folder: Path, monkeypatch) -> Path:
    """Put the stand-ins first on the path.

    In the folder, `refuse` makes sbatch refuse, `lose` loses the second task of an array, `options` gets the options of
    every job, `script` the last one's script, `jobs` holds the jobs that are at work.
    """
    (folder / "jobs").mkdir(parents=True)
    for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE), ("scontrol", SCONTROL)):
        program = folder / name
        program.write_text(text.format(python=sys.executable) if "{python}" in text else text)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    return folder
