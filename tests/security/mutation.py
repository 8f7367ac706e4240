"""Mutation: one change after the other in the code that must not be wrong, and the tests of its room must notice. A
change that nobody noticed is explained in survivors.txt, or fails. Needs cargo-mutants; takes an hour or two; MUTANTS is a
part of a file's name to look at only those."""

import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Each with the tests that have to notice.
FILES = {
    "src/queue/retry.rs": "queue::retry",
    "src/submission/reply.rs": "submission::",
    "src/submission/classify.rs": "submission::",
    "src/mail/wire.rs": "mail::",
    "src/mail/address/mod.rs": "mail::",
    "src/mail/address/token.rs": "mail::",
    "src/mail/address/mailbox.rs": "mail::",
    "src/mail/address/list.rs": "mail::",
    "src/spool/durable.rs": "spool::",
}
PLACE = re.compile(r":\d+:\d+: ")


def explained():
    """The changes that may survive; behind each, a tab and why."""
    lines = (pathlib.Path(__file__).parent / "survivors.txt").read_text().splitlines()
    return dict(line.split("\t", 1) for line in lines if line and not line.startswith("#"))


def campaign(_binary, folder, _full):
    if not shutil.which("cargo-mutants"):
        return "no cargo-mutants: cargo install cargo-mutants --locked", []
    tree, known, only = pathlib.Path(folder) / "tree", explained(), os.environ.get("MUTANTS", "")
    tree.mkdir()
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "--null", "-T", "-", "-cf", f"{tree}.tar"], input=tracked.stdout, cwd=ROOT, check=True)
    subprocess.run(["tar", "-xf", f"{tree}.tar", "-C", tree], check=True)
    environment = {**os.environ, "CARGO_TARGET_DIR": os.environ.get("CARGO_TARGET_DIR", f"{folder}/target"),
                   "CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_PROFILE_TEST_DEBUG": "0"}
    figures, violations = {}, []
    for file, tests in FILES.items():
        if only not in file:
            continue
        out = pathlib.Path(folder) / file.replace("/", "-")
        done = subprocess.run(
            ["nice", "-n", "19", "cargo", "mutants", "--in-place", "-d", tree, "-o", out, "-f", file, "--no-shuffle",
             "--baseline=skip", "--timeout=120", "--colors=never", "--", "--lib", "--", tests, "--skip", "session::model"],
            cwd=tree, env=environment, capture_output=True, text=True)
        listed = {name: (out / "mutants.out" / f"{name}.txt").read_text().splitlines()
                  for name in ("caught", "missed", "timeout", "unviable")}
        survivors = [PLACE.sub(": ", line) for line in listed["missed"]]
        found = {name: len(lines) for name, lines in listed.items()}
        found["explained"] = sum(line in known for line in survivors)
        figures[file] = found
        violations += [f"nobody noticed: {line}" for line in survivors if line not in known]
        if done.returncode not in (0, 2, 3):
            violations.append(done.stderr[-1000:])
    return figures, violations
