"""Runs inside the private namespaces: sets the lab up, runs the asked parts, prints the closing line."""

import argparse
import signal
import sys

import callers
import compat
import doctor
import fleet
import git_expectations
import lab as laboratory
import relays
import spooler

PARTS = {
    "relays": relays.run,
    "spooler": spooler.run,
    "fleet": fleet.run,
    "callers": callers.run,
    "compat": compat.run,
    "doctor": doctor.run,
    "git": git_expectations.run,
}


def main():
    parser = argparse.ArgumentParser()
    for option in ("--client", "--cache", "--logs", "--match"):
        parser.add_argument(option)
    for option in ("--hosts", "--messages"):
        parser.add_argument(option, type=int)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    asked = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    report = laboratory.Report(asked.logs, asked.match)
    lab = laboratory.Lab(asked.client, asked.cache, asked.logs)
    lab.hosts, lab.messages = asked.hosts, asked.messages
    for part in dict.fromkeys(asked.parts):
        print(f"--- {part}", flush=True)
        PARTS[part](lab, report)
    if report.skipped:
        print(f"({report.skipped} skipped)")
    print(f"{report.passed} passed, {report.failed} failed", flush=True)
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
