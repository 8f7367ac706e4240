"""Every fuzz target for a while; a crash fails. Needs a nightly toolchain and cargo-fuzz."""

import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOME = ROOT / "tests/fuzz"


def campaign(_binary, _folder, full):
    if not shutil.which("cargo-fuzz") or not shutil.which("rustup"):
        return "no cargo-fuzz: cargo install cargo-fuzz --locked", []
    toolchains = subprocess.run(["rustup", "toolchain", "list"], capture_output=True, text=True).stdout
    if "nightly" not in toolchains:
        return "no nightly toolchain", []
    seconds = int(os.environ.get("FUZZ_SECONDS", 240 if full else 20))
    only = os.environ.get("FUZZ_TARGETS", "").split()
    figures, violations = {}, []
    for target in sorted(path.stem for path in (HOME / "targets").glob("*.rs")):
        if only and target not in only:
            continue
        corpus = HOME / "corpus" / target
        corpus.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["nice", "cargo", "+nightly", "fuzz", "run", "--fuzz-dir", HOME, target, corpus, HOME / "seeds" / target, "--",
             f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"],
            cwd=ROOT, capture_output=True, text=True, errors="replace")
        number = re.search(r"stat::number_of_executed_units: (\d+)", done.stderr)
        figures[target] = f"{int(number[1]):,} executions" if number else "no executions"
        if done.returncode != 0:
            panicked = re.search(r"panicked at.*?(?=\nnote|\n==)", done.stderr, re.DOTALL)
            why = panicked[0] if panicked else done.stderr.strip()[-1500:]
            kept = re.search(r"Test unit written to (\S+)", done.stderr)
            violations.append(f"{target}: {why} {kept[1] if kept else ''}")
    return figures, violations
