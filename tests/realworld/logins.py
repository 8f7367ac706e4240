"""Every way to log in that real servers check: Dovecot's and Cyrus's SASL behind Postfix, and certificates of the client's."""

from lab import shown

WRONG = "not the password"


def passwords(report, sender, relay, mechanisms):
    """Each mechanism once with the right password, once with a wrong one."""
    for mechanism in mechanisms:
        name = f"{relay.name} {mechanism}"
        if not report.wants(name):
            continue
        line = f'auth = "{mechanism.lower()}"\n'
        sender.account(relay, 587, extra=line)
        subject = f"login {name}"
        outcome = sender.send(f"To: a@example.test\nSubject: {subject}\n\nx\n".encode(), "-t")
        problems = quiet(outcome) or once(relay, subject)
        problems += [] if f"sasl_method={mechanism}, sasl_username=alice" in log(relay) else ["the relay has not seen that mechanism:\n" + relay.words()]
        report.check(f"{name}: the right password is taken", problems)

        sender.account(relay, 587, password=WRONG, extra=line)
        outcome = sender.send(f"To: a@example.test\nSubject: wrong {subject}\n\nx\n".encode(), "-t")
        text = outcome.stderr.decode(errors="replace")
        problems = [] if outcome.returncode == 0 and "535" in text and WRONG not in text else [shown(outcome)]
        report.check(f"{name}: a wrong one is refused, the message held", problems)
        sender.account(relay, 587)
        sender.send(b"", "-q")


def strongest(report, sender, relay, mechanism):
    sender.account(relay, 587)
    subject = f"best {relay.name}"
    outcome = sender.send(f"To: a@example.test\nSubject: {subject}\n\nx\n".encode(), "-t")
    before = log(relay).rfind("sasl_method=")
    said = log(relay)[before:].split(",")[0]
    problems = quiet(outcome) or once(relay, subject) or ([] if said == f"sasl_method={mechanism}" else [said])
    report.check(f"{relay.name}: {mechanism} is taken unasked", problems)


def certificates(report, sender, relay, extra, proof):
    """A certificate instead of a password; with a key that others can read it is not shown."""
    name = f"{relay.name} client certificate"
    if not report.wants(name):
        return
    for port in (587, 465):
        sender.account(relay, port, password=None, extra=extra)
        subject = f"certificate {relay.name} {port}"
        outcome = sender.send(f"To: a@example.test\nSubject: {subject}\n\nx\n".encode(), "-t")
        problems = quiet(outcome) or once(relay, subject)
        problems += [] if proof in log(relay) else [f"not in the log: {proof}\n" + relay.words()]
        report.check(f"{name} {port}: is taken instead of a password", problems)
    (sender.view / "/home/tester/client.key").chmod(0o644)
    outcome = sender.send(b"To: a@example.test\nSubject: open\n\nx\n", "-t")
    text = outcome.stderr.decode(errors="replace")
    report.check(f"{name}: a key that others can read is not used", [] if "chmod 600" in text else [shown(outcome)])
    (sender.view / "/home/tester/client.key").chmod(0o600)
    sender.send(b"", "-q")


def log(relay):
    return (relay.view / relay.logs[0]).read_text(errors="replace")


def quiet(outcome):
    return [] if outcome.returncode == 0 and not outcome.stdout and not outcome.stderr else ["not a silent success: " + shown(outcome)]


def once(relay, subject):
    copies = relay.wait_for("a", subject)
    return [] if len(copies) == 1 else [f"{len(copies)} copies arrived\n" + relay.words()]
