"""The hostile values of tests/blackbox/injection.rs, twenty times as many as `cargo test` tries: at least a thousand in
every place."""

import collections
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def campaign(_binary, _folder, full):
    times = os.environ.get("INJECTION", "20" if full else "3")
    done = subprocess.run(
        ["cargo", "test", "-q", "--locked", "--test", "blackbox", "--", "injection::", "--show-output"], cwd=ROOT,
        env={**os.environ, "INJECTION": times}, capture_output=True, text=True, errors="replace")
    figures = collections.Counter()
    for place, said in re.findall(r"---- injection::(\w+) stdout ----\n(.*?)\n\n", done.stdout, re.DOTALL):
        figures[place] = sum(int(count) for count in re.findall(r"^(\d+) values$", said, re.MULTILINE))
    return dict(figures), [] if done.returncode == 0 else [done.stdout[-3000:]]
