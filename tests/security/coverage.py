"""Which lines of the program the tests reach, the program's own runs in the black-box tests counted; with --full also those
that only an error of a system call reaches, which tests/crash/run errno injects. Needs the llvm-profdata
and llvm-cov of rustc's LLVM: `apt-get install llvm-22` for LLVM 22."""

import collections
import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
LEAST = 90
# Files that are tests, or only there for them.
TESTS = ["tests.rs", "scripted.rs", "model.rs", "logins.rs", "golden.rs", "bench.rs"]


def tool(name):
    """The tool of the LLVM that rustc is built with."""
    version = re.search(r"LLVM version: (\d+)", subprocess.run(["rustc", "-vV"], capture_output=True, text=True).stdout)[1]
    system = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True).stdout.strip()
    beside = pathlib.Path(system) / "lib/rustlib/x86_64-unknown-linux-gnu/bin" / name
    return shutil.which(f"{name}-{version}") or (str(beside) if beside.exists() else None), version


def own_lines(path):
    """How many lines of a file are the program's: those before its tests."""
    lines = path.read_text().splitlines()
    tests = (number for number, line in enumerate(lines) if line == "#[cfg(test)]" and "mod " in "".join(lines[number:][:4]))
    return next(tests, len(lines))


def campaign(_binary, folder, full):
    profdata, version = tool("llvm-profdata")
    cov, _ = tool("llvm-cov")
    if not profdata or not cov:
        return f"no llvm-profdata-{version}: apt-get install llvm-{version}", []
    folder = pathlib.Path(folder)
    target = pathlib.Path(os.environ.get("COVERAGE_TARGET", ROOT / "target/coverage"))
    # Counters live in a mapped file (%c), so that a process that is killed has counted too.
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target), "LLVM_PROFILE_FILE": f"{folder}/%8m%c.profraw",
                   "RUSTFLAGS": "-C instrument-coverage -C llvm-args=-runtime-counter-relocation"}
    # Counters need memory too.
    done = subprocess.run(["cargo", "test", "--locked", "--no-fail-fast", "--", "--skip", "needs_little_memory"], cwd=ROOT,
                          env=environment, capture_output=True, text=True, errors="replace")
    if full:
        subprocess.run([ROOT / "tests/crash/run", "--binary", target / "debug/mailchute", "errno"], env=environment,
                       stdout=subprocess.DEVNULL)
    violations = re.findall(r"^test .* FAILED$", done.stdout, re.MULTILINE)
    programs = re.findall(r"\((\S*/deps/\S+)\)", done.stderr) + ["debug/mailchute"]
    programs = [str(target / program[program.index("debug/"):]) for program in programs]
    # Those that ran in an environment of their own counted where they were.
    astray, merged = list(ROOT.glob("default_*.profraw")), folder / "merged"
    subprocess.run([profdata, "merge", "-sparse", "-o", merged, *folder.glob("*.profraw"), *astray], check=True)
    for file in astray:
        file.unlink()
    objects = [word for program in programs[1:] for word in ("-object", program)]
    lcov = subprocess.run([cov, "export", "-format=lcov", "-instr-profile", merged, programs[0], *objects], check=True,
                          capture_output=True, text=True).stdout
    # One line can be in several programs: the greatest count is true.
    counts = collections.defaultdict(dict)
    for line in lcov.splitlines():
        if line.startswith("SF:"):
            file = pathlib.Path(line[3:])
        elif line.startswith("DA:") and file.is_relative_to(ROOT / "src") and file.name not in TESTS:
            number, count = line[3:].split(",")[:2]
            counts[file][int(number)] = max(counts[file].get(int(number), 0), int(count))
    report, reached, all_lines, low = [], 0, 0, []
    for file, lines in sorted(counts.items()):
        own = own_lines(file)
        lines = {number: count for number, count in lines.items() if number <= own}
        missed = sorted(number for number, count in lines.items() if not count)
        reached, all_lines = reached + len(lines) - len(missed), all_lines + len(lines)
        name, text = file.relative_to(ROOT), file.read_text().splitlines()
        if lines and len(missed) > len(lines) / 5:
            low.append(f"{name} {100 - 100 * len(missed) / len(lines):.0f} %")
        report += [f"{name}:{number}: {text[number - 1].strip()}" for number in missed]
    (target / "missed.txt").write_text("\n".join(report) + "\n")
    rate = 100 * reached / all_lines
    if rate < LEAST:
        violations.append(f"{rate:.1f} % of lines, less than {LEAST} %")
    figures = {"lines": all_lines, "reached": f"{rate:.1f} %", "missed, line by line": target / "missed.txt"}
    if low:
        figures["below 80 %"] = ", ".join(low)
    return figures, violations
