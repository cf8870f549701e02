"""Run the README's first command and put what it prints into the README.

    python benchmarks/readme_output.py

Takes as long as the command. Nothing in the block is typed by hand.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tables import README, with_block

START, END = "<!-- output of: adafer train -->", "<!-- end of output -->"


def main() -> None:
    """Train in an empty folder and paste the console's words."""
    door = Path(sys.executable).with_name("adafer")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [door, "train"],
            cwd=folder,
            env=os.environ | {"COLUMNS": "110", "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    lines = [line.rstrip() for line in done.stdout.strip().splitlines()]
    block = "\n".join(["```", *lines, "```"])
    text = README.read_text(encoding="utf-8")
    partial = README.with_name(".README.md.partial")
    partial.write_text(with_block(text, START, END, block), encoding="utf-8")
    os.replace(partial, README)
    print(block)


if __name__ == "__main__":
    main()
