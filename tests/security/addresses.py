"""The address parser against Python's email package and Postfix: all name the same people."""

import email.header
import email.utils
import pathlib
import random
import re
import subprocess

from postfix import Postfix
from relay import Relay

LOCALS = ["bob", "bob.b", "bob+tag", "b%c", "o'hara", "!x", "a/b=c", '"a b"', '"a,b"', '"a\\"b"', '"a@b"', "_", "x-1"]
DOMAINS = ["x.org", "sub.x.org", "X.Org", "[127.0.0.1]", "x-y.example", "a.b.c.d.example"]
NAMES = ["", "Bob ", '"Bob, B" ', "Bob B. ", '"B \\"x\\" B" ', "=?utf-8?Q?B=C3=B6b?= ", '"<b>" ', "'Bob' ", '"B (x)" ']
COMMENTS = ["", " (note)", " (a (b) c)", " (a, b)", " (\\) x)", " (<c@d.org>)"]
BETWEEN = [",", ", ", " , ", ",\n\t", ",, "]


def one(chance):
    address = f"{chance.choice(LOCALS)}@{chance.choice(DOMAINS)}"
    kind = chance.random()
    if kind < 0.4:
        return address + chance.choice(COMMENTS)
    if kind < 0.95:
        return f"{chance.choice(NAMES)}<{address}>{chance.choice(COMMENTS)}"
    return f"people: {address}, <{chance.choice(LOCALS)}@{chance.choice(DOMAINS)}>;"


def folded(address):
    local, _, domain = address.rpartition("@")
    # Quotes that are not needed are not part of an address (RFC 5321 section 4.1.2).
    if local.startswith('"') and local.endswith('"'):
        bare = local[1:-1].replace("\\", "")
        if bare and all(letter.isalnum() or letter in "!#$%&'*+-/=?^_`{|}~" for letter in bare):
            local = bare
    return local + "@" + domain.lower()


def unquoted(address):
    """As Postfix keeps it."""
    local, _, domain = address.rpartition("@")
    if local.startswith('"') and local.endswith('"'):
        local = re.sub(r"\\(.)", r"\1", local[1:-1])
    return local + "@" + domain.lower()


def campaign(binary, folder, full):
    folder = pathlib.Path(folder)
    relay = Relay()
    sendmail, config = folder / "sendmail", folder / "config.toml"
    sendmail.symlink_to(binary)
    config.write_text(
        f'[accounts.test]\nhost = "127.0.0.1"\nport = {relay.port}\ntls = "none"\nfrom = "alice@example.com"\n'
        f'[spool]\ndirectory = "{folder}/spool"\n')
    config.chmod(0o600)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "MAILCHUTE_CONFIG": str(config)}
    chance = random.Random(8)
    compared, refused, violations = 0, [], []
    postfix = Postfix(folder) if Postfix.to_be_had() else None
    for _ in range(4000 if full else 400):
        people = [one(chance) for _ in range(chance.randint(1, 4))]
        text = people[0]
        for person in people[1:]:
            text += chance.choice(BETWEEN) + person
        theirs = [folded(address) for _, address in email.utils.getaddresses([text]) if "@" in address]
        done = subprocess.run(
            [sendmail, "-t", "-i"], input=f"To: {text}\nSubject: s\n\ntext\n".encode(), env=environment,
            capture_output=True, timeout=60)
        ours = {folded(recipient) for _, recipient, _ in relay.take()}
        if done.returncode != 0:
            refused.append(text)
            continue
        compared += 1
        if ours != set(theirs):
            violations.append(f"{text!r}: ours {sorted(ours)}, Python's {sorted(set(theirs))}")
        if postfix:
            theirs = {unquoted(address) for address in postfix.recipients(text)}
            if {unquoted(address) for address in ours} != theirs:
                violations.append(f"{text!r}: ours {sorted(ours)}, Postfix's {sorted(theirs)}")
    violations += [f"refused: {text!r}" for text in refused]
    version = postfix.version if postfix else "not to be had"
    return {"lists": compared, "refused": len(refused), "Postfix": version}, violations
