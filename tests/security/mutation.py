"""Mutation: one change after the other in the code that must not be wrong, and the tests beside it must notice. A change
that nobody noticed is explained in survivors.txt, or fails. Needs cargo-mutants; takes half an hour; MUTANTS is a part of a
file's name to look at only those."""

import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Each with the tests that have to notice.
FILES = {
    "src/queue/retry.rs": "queue::retry",
    "src/submission/reply.rs": "submission::reply",
    "src/submission/classify.rs": "submission::classify",
    "src/spool/durable.rs": "spool::",
    "src/mail/wire.rs": "mail::wire",
    "src/mail/address/mod.rs": "mail::address",
    "src/mail/address/mailbox.rs": "mail::address",
    "src/mail/address/token.rs": "mail::address",
    "src/mail/address/list.rs": "mail::address",
}
# All that these rooms need: a small crate is built hundreds of times in the time of a large one.
LIBRARY = """
pub mod clock;
pub mod diagnostic;
pub mod exit;
pub mod mail;
pub mod queue { pub mod retry; }
pub mod spool;
pub mod submission { pub mod classify; pub mod reply; }
pub mod system;
"""
# The program itself, which needs the whole.
TARGET = re.compile(r"^\[\[bin\]\]\n(?:[^\[\n].*\n)*", re.MULTILINE)
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
    (tree / "src/lib.rs").write_text(LIBRARY)
    (tree / "src/main.rs").unlink()
    manifest = tree / "Cargo.toml"
    manifest.write_text(re.split(r"^\[\[(?:test|bench|example)\]\]", TARGET.sub("", manifest.read_text()), flags=re.MULTILINE)[0])
    environment = {**os.environ, "CARGO_TARGET_DIR": os.environ.get("CARGO_TARGET_DIR", f"{folder}/target"),
                   "CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_PROFILE_TEST_DEBUG": "0"}
    figures, violations = {}, []
    for file, tests in FILES.items():
        if only not in file:
            continue
        out = pathlib.Path(folder) / file.replace("/", "-")
        done = subprocess.run(
            ["nice", "cargo", "mutants", "--in-place", "-d", tree, "-o", out, "-f", file, "--no-shuffle",
             "--baseline=skip", "--timeout=40", "--colors=never", "--", "--lib", "--", tests],
            cwd=tree, env=environment, capture_output=True, text=True)
        listed = {name: (out / "mutants.out" / f"{name}.txt").read_text().splitlines()
                  for name in ("caught", "missed", "timeout", "unviable")}
        survivors = [PLACE.sub(": ", line) for line in listed["missed"]]
        found = {name: len(lines) for name, lines in listed.items()}
        found["explained"] = sum(line in known for line in survivors)
        figures[file] = found
        print(file, found, [line for line in survivors if line not in known], flush=True)
        violations += [f"nobody noticed: {line}" for line in survivors if line not in known]
        if done.returncode not in (0, 2, 3):
            violations.append(done.stderr[-1000:])
    return figures, violations
