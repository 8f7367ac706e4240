"""`mailchute doctor` on broken networks: each is made with real means in namespaces of its own, and each has one true cause
that the doctor must name, with the way out. The provider is Gmail as far as names, ports and certificates can say so.

Also what must not happen on any of them: a password to somebody who has not proved that he is the relay."""

import base64
import json
import subprocess
import threading
from email.utils import formatdate
from ssl import TLSVersion

from networks import GATEWAY6, HERE6, NAMES, RELAY, RELAY6, World, rewriter, sh, tls_context

PASSWORD = "abcdefghijklmnop"
GMAIL = f'provider = "gmail"\nuser = "someone@gmail.com"\npassword = "{PASSWORD}"\n'
WORK = GMAIL.replace('provider = "gmail"', 'host = "smtp.work.example"')
AT_ONCE = 16


class Broken:
    """One way to be broken. `there` and `here` prepare the two sides; `found`, `cause`, `fix` are parts of what must be said."""

    def __init__(self, name, status, cause, fix="", found="", there=lambda world: None, here=lambda world: None, certificate="good", relay=None, account=GMAIL, names="answers", zone=None, wired=True, view="usual", environment=None, user="tester"):
        self.__dict__.update(locals())


def nft(hook, rules):
    return lambda world: world.nft(hook, rules)


def both(*steps):
    return lambda world: [step(world) for step in steps]


def six(world):
    sh(f"ip address add {HERE6}/64 dev eth0 nodad", f"ip -6 route add default via {GATEWAY6}")


def four_and_six(world):
    world.zone["smtp.gmail.com"] = [RELAY, RELAY6]


def proxy(serve):
    """Somebody on the way takes all connections to the mail ports, whatever their address, and serves them himself."""
    return lambda world: [serve(world), world.nft("prerouting", "tcp dport 587 redirect to :10587; tcp dport 465 redirect to :10465")]


def rewritten(masks):
    """Somebody on the way passes the dialogue on 587 through, with these words changed."""
    return lambda world: [world.listen("0.0.0.0", 10587, rewriter(world, masks)), world.nft("prerouting", f"ip daddr {RELAY} tcp dport 587 redirect to :10587")]


def portal(world):
    world.serve_web("0.0.0.0", [8080], "HTTP/1.1 302 Found\r\nLocation: http://portal.example/")
    world.nft("prerouting", "meta l4proto tcp redirect to :8080")


STRIPPED = {b"STARTTLS": b"XXXXXXXX"}
MASKED = {b"STARTTLS": b"XXXXXXXA", b"smtp.gmail.com ESMTP x - gsmtp": b"*" * 30}
MAIL_PORTS = "tcp dport { 25, 465, 587 }"
BOTH = "tcp dport { 465, 587 }"
CLOCK = "clock is wrong"
GIVES_AWAY = "the password was not sent"


def table(certificates):
    def mail(name, **habits):
        return lambda world: world.serve_mail(certificates[name], "0.0.0.0", (10587, 10465), **habits)

    return [
        Broken("nothing is broken", 0, "", found="accepted by smtp.gmail.com"),
        # --- blocked ports
        Broken("587 dropped", 0, "port 587 is blocked: packets to it vanish", "port = 465, which works here", there=nft("input", "tcp dport 587 drop")),
        Broken("465 dropped", 0, "port 465 is blocked: packets to it vanish", "port = 587, which works here", there=nft("input", "tcp dport 465 drop")),
        Broken("587 dropped, 465 not configured", 69, "port 587 is blocked", "port = 465, which works here", account=GMAIL + 'port = 587\ntls = "starttls"\n', there=nft("input", "tcp dport 587 drop")),
        Broken("port 25 configured, and dropped", 69, "port 25 is for servers among each other", "port = 587, which works here", account=GMAIL + 'port = 25\ntls = "starttls"\n', there=nft("input", "tcp dport 25 drop")),
        Broken("all mail ports dropped, the web open", 69, "every mail port is blocked here, while the web can be reached", "2525", there=nft("input", f"{MAIL_PORTS} drop")),
        Broken("everything dropped behind the name server", 69, "the connection to the internet is down", "mail waits in the queue", there=nft("input", "meta l4proto tcp drop")),
        Broken("mail ports dropped by this host", 69, "every mail port is blocked here, while the web can be reached", "this host's own firewall", here=nft("output", f"{MAIL_PORTS} drop")),
        Broken("587 refused by a firewall", 0, "smtp.gmail.com does listen on port 587: a firewall", "port = 465, which works here", there=nft("input", "tcp dport 587 reject with tcp reset")),
        Broken("both refused by a firewall", 69, "smtp.gmail.com does listen on port 587: a firewall", "open port 587 or 465", there=nft("input", f"{BOTH} reject with tcp reset")),
        Broken("both refused with ICMP port unreachable", 69, "smtp.gmail.com does listen on port 587: a firewall", "open port 587 or 465", there=nft("input", f"{BOTH} reject")),
        Broken("both rejected with ICMP prohibited", 69, 'a firewall rejects mail connections (it says "unreachable")', "open port 587 or 465", there=nft("input", f"{BOTH} reject with icmpx admin-prohibited")),
        Broken("one user's mail refused by this host (cPanel)", 69, "smtp.gmail.com does listen on port 587: a firewall", here=nft("output", f"meta skuid 1000 {MAIL_PORTS} reject with tcp reset")),
        Broken("a local route forbids it", 69, "this very host forbids it", "may work for another user", here=lambda world: sh("ip route add prohibit 198.51.100.10/32")),
        Broken("a server of one's own with every port closed", 69, "nothing listens there", "whether the mail server runs", account=WORK, relay=False),
        Broken("a server of one's own with only 465 open", 0, "nothing listens on that port", "port = 465, which works here", account=WORK, relay=(465,)),
        Broken("a server of one's own with only 587 open", 0, "nothing listens on that port", "port = 587, which works here", account=WORK, relay=(587,)),
        # --- somebody on the way
        Broken("connections cut off", 69, "something on the way cuts mail connections", "another network, or a VPN", there=proxy(mail("good", act="reset"))),
        Broken("an overloaded or filtering box says nothing", 69, "this network intercepts mail connections", "another network, or a VPN", there=proxy(mail("good", act="silent"))),
        Broken("STARTTLS stripped on 587", 0, "something on the way hides STARTTLS", "port = 465, which works here", there=rewritten(STRIPPED)),
        Broken("STARTTLS stripped, 465 dropped", 78, "something on the way hides STARTTLS", "another network, or a VPN", there=both(rewritten(STRIPPED), nft("input", "tcp dport 465 drop"))),
        Broken("Cisco ESMTP inspection", 0, "a Cisco firewall rewrites the dialogue", "no inspect esmtp", there=rewritten(MASKED)),
        Broken("redirected to the hoster's own server", 78, "what answers calls itself ghosted.example", found="not for smtp.gmail.com but for ghosted.example", there=proxy(mail("ghosted", greeting="220 ghosted.example ESMTP Exim 4.89"))),
        Broken("a transparent proxy without STARTTLS", 78, "this network intercepts mail connections", "another network, or a VPN", there=proxy(mail("unknown", greeting="220 smtp.gmail.com ESMTP", offers=()))),
        Broken("an antivirus program that reads mail", 78, "whoever answers cannot prove to be the relay", "Avast stands between and reads mail", certificate="avast"),
        Broken("a firewall that reads mail", 78, "this network intercepts mail connections", "Fortinet stands between and reads mail", there=proxy(mail("fortinet"))),
        Broken("TLS cut off by a firewall", 69, "something on the way cuts TLS off", "another network, or a VPN", relay=dict(act="cut TLS")),
        Broken("long packets lost (MTU)", 69, "long packets are lost on the way (MTU)", "mtu 1280", there=nft("output", "tcp sport { 465, 587 } meta length > 300 drop")),
        Broken("a captive portal", 69, "sign in", "open a web page and sign in", names="everything", there=portal),
        # --- names
        Broken("no name server answers", 69, "no name server answers, though this host has a network", "/etc/resolv.conf", names="silent"),
        Broken("packets to the name server dropped", 69, "no name server answers, though this host has a network", "/etc/resolv.conf", there=nft("input", "udp dport 53 drop")),
        Broken("no name server runs", 69, f"no name server runs at {NAMES}", "/etc/resolv.conf", names="none"),
        Broken("the name server fails", 69, f"the name server {NAMES} answers that it fails (SERVFAIL)", "another name server", names="servfail"),
        Broken("the name server refuses", 69, f"the name server {NAMES} does not answer this host (REFUSED)", "/etc/resolv.conf", names="refused"),
        Broken("no name server configured", 69, "/etc/resolv.conf names no name server", view="bare"),
        Broken("the provider's name is not given out", 69, "the name is right, but the name server of this network does not give it out", "another network", zone={}),
        Broken("a mistyped server name", 78, "no name server knows a host of that name", "smtp.gmail.com", account=WORK.replace("smtp.work.example", "smtp.gmial.com")),
        # --- ways out
        Broken("no network at all", 69, "this host has no network at all", "mail waits in the queue", wired=False),
        Broken("no default route", 69, "this host has no network at all", here=lambda world: sh("ip route del default")),
        Broken("no IPv6, though the relay has it", 0, "", found="accepted by smtp.gmail.com", there=four_and_six),
        Broken("broken IPv6: dropped", 0, "IPv6 is broken on this network; the other family works", "mend IPv6", there=both(four_and_six, nft("input", "meta nfproto ipv6 tcp dport { 465, 587 } drop")), here=six),
        Broken("broken IPv4: dropped", 0, "IPv4 is broken on this network; the other family works", "mend IPv4", there=both(four_and_six, nft("input", "meta nfproto ipv4 tcp dport { 465, 587 } drop")), here=six),
        # --- certificates and clocks
        *(
            Broken(f"certificate: {name}", 78, cause, fix, found=found, certificate=name)
            for name, cause, fix, found in [
                ("self-signed", GIVES_AWAY, "tls-fingerprint", "self-signed"),
                ("unknown", GIVES_AWAY, "tls-ca-file", "issuer is not trusted here: nobody knows me"),
                ("other host", GIVES_AWAY, "set host to the name", "not for smtp.gmail.com but for mail.other.example"),
                ("common name only", GIVES_AWAY, "subjectAltName", "a common name, which does not count"),
                ("for clients", GIVES_AWAY, "owner", "for clients, not for servers"),
                ("by no authority", GIVES_AWAY, "owner", "may not issue certificates"),
                ("RSA 1024", GIVES_AWAY, "owner", "its key may be too weak"),
                ("SHA-1", GIVES_AWAY, "owner", "such as SHA-1"),
                ("wildcard too deep", GIVES_AWAY, "", "not for smtp.gmail.com but for *.com"),
                ("expired", "out of date, and this host's clock is right", "tell the server's owner", "expired on"),
                ("not yet valid", "out of date, and this host's clock is right", "tell the server's owner", "not valid before"),
            ]
        ),
        Broken("only TLS 1.1", 78, "no safe TLS in common", "TLS 1.2 or newer", found="before 1.2", certificate="TLS 1.1"),
        Broken("no trusted certificates on this host", 78, "nothing to verify certificates with", "ca-certificates", view="bare", names="address", account=GMAIL + f'host = "{RELAY}"\n'),
        Broken("the clock three years behind", 71, CLOCK, "timedatectl", environment={"FAKETIME": "-3y"}),
        Broken("the clock three years ahead", 71, CLOCK, "timedatectl", environment={"FAKETIME": "+3y"}),
        Broken("the clock ahead, a relay that greets with a date", 71, CLOCK, "timedatectl", environment={"FAKETIME": "+3y"}, account=WORK, relay=dict(greeting="220 smtp.work.example ESMTP @DATE@")),
        # --- the relay's word
        Broken("the ordinary password", 78, "", "App Password", found="535 5.7.8", relay=dict(login="535-5.7.8 Username and Password not accepted. For more information, go to\n535 5.7.8  https://support.google.com/mail/?p=BadCredentials x - gsmtp")),
        Broken("a sender that is not the account's", 78, "does not let this account send as that address", found="553 5.7.1", relay=dict(sender="553 5.7.1 not yours")),
        Broken("this host is not wanted", 69, "the server does not want to talk with this host", found="554 5.7.1", relay=dict(greeting="554 5.7.1 go away")),
    ]


def make_certificates(view):
    """The TLS contexts of relays, by the name of what is wrong with them. OpenSSL makes them inside the view."""
    folder = "/lab/certificates"
    (view / folder).mkdir(parents=True)
    preload = subprocess.run(["chroot", view.path, "sh", "-c", "ls /usr/lib/*/faketime/libfaketime.so.1"], capture_output=True, check=True, text=True).stdout.strip()

    def openssl(*words, then=None):
        environment = {"LD_PRELOAD": preload, "FAKETIME": then} if then else None
        done = view.call(["openssl", *words], environment=environment)
        if done.returncode:
            raise SystemExit(f"realworld: openssl {words}: {done.stderr.decode()}")

    def make(name, subject="smtp.gmail.com", issuer="authority", names="DNS:smtp.gmail.com,DNS:smtp.work.example", key="EC", more=(), digest="-sha256", then=None, chain=()):
        at = f"{folder}/{name}".replace(" ", "-")
        kind = ["-newkey", "rsa:1024"] if key == "RSA 1024" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        signed = ["-CA", f"{folder}/{issuer}.pem", "-CAkey", f"{folder}/{issuer}.key"] if issuer else []
        extensions = [f"subjectAltName={names}"] if names else []
        words = [option for extension in (*extensions, *more) for option in ("-addext", extension)]
        openssl("req", "-x509", *kind, "-nodes", "-days", "60", digest, "-subj", f"/CN={subject}", *signed, *words, "-keyout", at + ".key", "-out", at + ".pem", then=then)
        pem = view / (at + ".pem")
        pem.write_text(pem.read_text() + "".join((view / f"{folder}/{other}.pem").read_text() for other in chain))
        return pem, view / (at + ".key")

    issues, leaf = ("basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"), ("basicConstraints=critical,CA:FALSE",)
    for name, subject in {"authority": "Global Trust", "nobody": "nobody knows me", "avast-root": "Avast Web/Mail Shield Root".replace("/", "\\/"), "fortinet-root": "Fortinet Untrusted CA"}.items():
        make(name, subject, None, None, more=issues)
    made = {
        "good": make("good", more=leaf),
        "ghosted": make("ghosted", "ghosted.example", names="DNS:ghosted.example", more=leaf),
        "avast": make("avast", issuer="avast-root", more=leaf),
        "fortinet": make("fortinet", issuer="fortinet-root", more=leaf),
        "self-signed": make("self-signed", issuer=None, more=leaf),
        "unknown": make("unknown", issuer="nobody", more=leaf),
        "other host": make("other host", names="DNS:mail.other.example", more=leaf),
        "common name only": make("common name only", names=None, more=leaf),
        "wildcard too deep": make("wildcard too deep", names="DNS:*.com", more=leaf),
        "for clients": make("for clients", more=(*leaf, "extendedKeyUsage=clientAuth")),
        "by no authority": make("by no authority", issuer="ghosted", more=leaf, chain=("ghosted",)),
        "RSA 1024": make("RSA 1024", key="RSA 1024", more=leaf),
        "SHA-1": make("SHA-1", digest="-sha1", more=leaf),
        "expired": make("expired", more=leaf, then="-200d"),
        "not yet valid": make("not yet valid", more=leaf, then="+200d"),
    }
    contexts = {name: tls_context(*pair) for name, pair in made.items()}
    contexts["TLS 1.1"] = tls_context(*made["good"], version=TLSVersion.TLSv1_1)
    return contexts, (view / f"{folder}/authority.pem").read_text(), preload


def run(lab, report):
    views = {"usual": lab.view("doctor", "doctor"), "bare": lab.view("doctor", "doctor-bare")}
    certificates, roots, preload = make_certificates(views["usual"])
    for name, view in views.items():
        view.install(lab.client)
        view.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n")
        view.write("/etc/resolv.conf", "" if name == "bare" else f"nameserver {NAMES}\noptions timeout:2 attempts:1\n")
    views["usual"].write("/etc/ssl/certs/ca-certificates.crt", roots)
    (views["bare"] / "/etc/ssl/certs/ca-certificates.crt").unlink(missing_ok=True)

    cases = [case for case in table(certificates) if report.wants(f"doctor: {case.name}")]
    verdicts, turns, lock = {}, threading.Semaphore(AT_ONCE), threading.Lock()

    def one(number, case):
        with turns:
            try:
                verdict = examine(case, f"/lab/{number}", views[case.view], certificates, preload)
            except Exception as error:
                verdict = [f"the lab: {error!r}"], ""
            with lock:
                verdicts[number] = verdict

    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(cases)]
    for thread in threads:
        thread.start()
    for number, thread in enumerate(threads):
        thread.join()
        problems, said = verdicts[number]
        report.check(f"doctor: {cases[number].name}", problems, said)


def examine(case, home, view, certificates, preload):
    """Runs the doctor on one broken network: the problems with what it says, and what it says."""
    world = World(lambda text: subprocess.run(["chroot", view.path, "nft", "-f", "-"], input=text.encode(), capture_output=True))
    world.names = case.names
    if case.zone is not None:
        world.zone = case.zone

    def prepare(world):
        if case.names not in ("none",):
            world.answer_names()
        if case.names != "everything":
            world.serve_web()
        if case.relay is not False:
            ports = case.relay if isinstance(case.relay, tuple) else (587, 465)
            habits = case.relay if isinstance(case.relay, dict) else {}
            if "greeting" in habits:
                habits = {**habits, "greeting": habits["greeting"].replace("@DATE@", formatdate())}
            for address in (RELAY, RELAY6):
                world.serve_mail(certificates[case.certificate], address, ports, **habits)
            if 587 in ports:
                world.serve_mail(certificates[case.certificate], RELAY, (25,), **habits)
        case.there(world)

    world.start(prepare, case.wired)
    try:
        case.here(world)
        view.write(f"{home}/config.toml", f"[accounts.mail]\n{case.account}", 0o600, 1000)
        environment = {"HOME": home, "MAILCHUTE_CONFIG": f"{home}/config.toml", "XDG_STATE_HOME": home}
        if case.environment:
            environment |= case.environment | {"LD_PRELOAD": preload, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
        done = view.call(["mailchute", "doctor", "--json"], user=case.user, environment=environment)
    finally:
        world.end()
    return judge(case, done, world.heard)


def judge(case, done, heard):
    try:
        checks = json.loads(done.stdout)
    except ValueError:
        return [f"no JSON: exit {done.returncode} {done.stdout!r} {done.stderr!r}"], ""
    checks = [check for check in checks if check["group"] != "program"]
    wanted = "error" if case.status else "warning" if case.cause else "ok"
    told = [check for check in checks if check["status"] == wanted] or checks
    first = told[0] if wanted != "ok" else next((check for check in told if check["group"] == "login"), told[0])
    said = f"exit {done.returncode}; {first['group']} {first['subject']}: {first['found']}; {first['cause'] or ''}; {' | '.join(first['fixes'])}"
    problems = [f"{what} {part!r} is missing: {said}" for what, part, text in (("found", case.found, first["found"]), ("cause", case.cause, first["cause"] or ""), ("fix", case.fix, " | ".join(first["fixes"]))) if part not in text]
    if done.returncode != case.status:
        problems.append(f"exit {done.returncode} instead of {case.status}: {said}")
    if wanted == "ok" and any(check["status"] != "ok" for check in checks):
        problems.append(f"something is complained of: {[check for check in checks if check['status'] != 'ok']}")
    secrets = [PASSWORD.encode(), base64.b64encode(b"\0someone@gmail.com\0" + PASSWORD.encode())[:40]]
    if any(secret in line for secure, line in heard for secret in secrets if not secure):
        problems.append("the password went over the wire in clear")
    logs_in = case.status == 0 or case.name in ("the ordinary password", "a sender that is not the account's")
    if not logs_in and any(secret in line for _, line in heard for secret in secrets):
        problems.append("the password was said to somebody who is not the relay")
    if problems:
        problems.append(done.stdout.decode() + done.stderr.decode())
    return problems, said
