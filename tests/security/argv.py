"""Hostile command lines and environments under strace: what PHP's fifth parameter, a web form or a cron job could be
talked into. Whatever is asked, one program runs, and files are made in the spool and the log alone."""

import itertools
import os
import pathlib
import pwd
import re
import shutil
import subprocess

from relay import Relay

# {w} is a folder that a web server would serve, {c} a configuration that names programs and files.
WORDS = [
    # PHPMailer CVE-2016-10033, -10045; SwiftMailer, Zend: CVE-2016-10034, -10074.
    ["-fattacker\\", "-oQ/{w}", "-X{w}/shell.php", "some\"@x.org"],
    ["-f\"attacker\\\" -oQ{w} -X{w}/shell.php some\"@x.org"],
    ["-f", "a@x.org", "-OQueueDirectory={w}", "-X{w}/shell.php"],
    ["-fa@x.org", "-O", "QueueDirectory={w}", "-X", "{w}/shell.php"],
    ["-f-X{w}/shell.php"],
    ["-f", "-X{w}/shell.php"],
    ["-r-OQueueDirectory={w}"],
    ["-X{w}/shell.php"],
    ["-X", "{w}/shell.php"],
    ["-X/{w}/../shell.php", "-oQ.", "-oA{w}/aliases"],
    ["-oQ{w}"], ["-oQ", "{w}"], ["-oA{w}/aliases"], ["-oH{w}"], ["-oT{w}"], ["-oS{w}/st"], ["-oP{w}/pid"], ["-oL99"],
    ["-oX{w}/log"], ["-oM/bin/sh"], ["-oMr", "x"], ["-oMs", "${{run{{/bin/touch {w}/ran}}}}"], ["-oD{w}/d"], ["-o/"],
    # Roundcube CVE-2016-9920; Horde; SquirrelMail CVE-2017-7692.
    ["-fx@x.org", "-OQueueDirectory={w}", "-X{w}/rce.php"],
    ["-f", "x", "-oQ{w}", "-X", "{w}/rce.php", "-C{c}"],
    ["-C{c}"], ["-C", "{c}"], ["--config", "{c}"], ["--config={c}"], ["-C/etc/passwd"], ["-C", "{w}"], ["-C/dev/stdin"],
    ["-C", "{w}/fifo"], ["-C", "/proc/self/mem"], ["-C", "/proc/self/environ"],
    # Exim.
    ["-be", "${{run{{/bin/touch {w}/ran}}}}"], ["-be"], ["-bem", "{w}/shell.php"], ["-bf", "{w}/f"], ["-bF", "{w}/f"],
    ["-bt", "x"], ["-bP"], ["-bV"], ["-bh", "1.2.3.4"], ["-bdf"], ["-bi"], ["-bI:help"], ["-brw", "x"],
    ["-D{w}/debug.php"], ["-D", "{w}/debug.php"], ["-DMACRO=${{run{{/bin/touch {w}/ran}}}}"], ["-d-all+expand"],
    ["-oMa", "1.2.3.4"], ["-odf"], ["-ods"], ["-odqs"], ["-Mar", "id"], ["-Mvb", "../../etc/passwd"], ["-MC", "x"],
    ["-ps{w}"], ["-Tx"], ["-G"], ["-Ac"], ["-Am"], ["-M{w}"], ["-N", "{w}"], ["-L{w}"], ["-p", "x:y"],
    # Modes and daemons.
    ["-bd"], ["-bD"], ["-ba"], ["-bp"], ["-bv"], ["-bH"], ["-bh"], ["-bs"], ["-bz"], ["-bP"], ["-bm"], ["-bX"], ["-b"],
    ["-bd", "-X{w}/shell.php"], ["-bs", "-X{w}/shell.php"], ["-bi", "-oA{w}/aliases"], ["-q", "-oQ{w}"], ["-q1m"],
    ["-qR{w}"], ["-qS|id"], ["-qI../../x"], ["-q!I*"], ["-qQ"], ["-qL"], ["-Q{w}"], ["-I"], ["-bp", "-X{w}/x"],
    # Recipients that some mailer took for a program, a file or a list.
    ["|/bin/touch {w}/ran"], ["\"|/bin/touch {w}/ran\""], ["--", "|/bin/touch {w}/ran"], ["{w}/shell.php"],
    [":include:/etc/passwd"], ["\\|id@x.org"], ["a@x.org|/bin/touch {w}/ran"], ["$(touch {w}/ran)@x.org"],
    ["`touch {w}/ran`@x.org"], ["a@x.org;touch {w}/ran"], ["a@x.org", "--", "-X{w}/shell.php"], ["../../{w}/x"],
    ["--", "-oQ{w}", "-X{w}/shell.php"], ["-i", "a@x.org", "-X{w}/shell.php"], ["\"-X{w}/shell.php\"@x.org"],
    # Odd shapes.
    ["-"], ["--"], [""], ["-f"], ["-X"], ["-C"], ["-O"], ["-o"], ["-t", "-t"], ["-ti", "-X{w}/s.php"], ["-tiX{w}/s.php"],
    ["-iX", "{w}/s.php"], ["-it", "-OQueueDirectory={w}"], ["-oi", "-t", "-f", "a@x.org", "-X{w}/s.php"], ["-vX{w}/s"],
    ["-F", "$(touch {w}/ran)"], ["-F-X{w}/shell.php"], ["-F`touch {w}/ran`"], ["-a", "../../{w}"], ["--account={w}"],
    ["-V{w}/shell.php"], ["-R{w}"], ["-B{w}"], ["-h{w}"], ["-e{w}"], ["-U", "-x", "-X{w}/s.php"], ["-" + "i" * 5000],
    ["-O", "a" * 5000], ["-X" + "../" * 500 + "{w}/shell.php"], ["-d0-99.127"], ["-d", "-X{w}/s.php"], ["-n", "|id"],
]
# Each of these in front of, and behind, what every caller says.
COMMON = [["-t", "-i"], ["-i", "bob@example.org"]]

ENVIRONMENTS = [
    {},
    {"SHELL": "{w}/evil", "EDITOR": "{w}/evil", "PAGER": "{w}/evil", "BROWSER": "{w}/evil", "PATH": "{w}"},
    {"IFS": "/", "ENV": "{w}/evil", "BASH_ENV": "{w}/evil", "PS4": "$({w}/evil)"},
    {"HOME": "{w}", "XDG_CONFIG_HOME": "{w}", "XDG_STATE_HOME": "{w}", "XDG_RUNTIME_DIR": "{w}", "TMPDIR": "{w}"},
    {"QUEUEDIR": "{w}", "NULLMAILER_QUEUE": "{w}", "MSMTPQ_RC": "{w}/evil", "MSMTP": "{w}/evil", "MAILRC": "{w}/evil"},
    {"LANG": "../../{w}", "LC_ALL": "{w}", "LANGUAGE": "%n%n", "NLSPATH": "{w}/%N", "TZ": ":{w}/tz", "TZDIR": "{w}"},
    {"RUST_BACKTRACE": "full", "RUST_LOG": "trace", "SSLKEYLOGFILE": "{w}/keys", "SSL_CERT_FILE": "{w}/evil",
     "SSL_CERT_DIR": "{w}", "RES_OPTIONS": "debug", "LOCALDOMAIN": "x", "HOSTALIASES": "{w}/hosts"},
    {"CREDENTIALS_DIRECTORY": "{w}", "LISTEN_FDS": "3", "LISTEN_PID": "1", "NOTIFY_SOCKET": "{w}/notify"},
    {"MALLOC_CHECK_": "3", "MALLOC_TRACE": "{w}/trace", "GLIBC_TUNABLES": "glibc.malloc.check=3", "GCONV_PATH": "{w}"},
    {"USER": "-X{w}/x", "LOGNAME": "|id", "EMAIL": "-X{w}/x", "NAME": "$({w}/evil)", "REPLYTO": "x\n.\n"},
]

CALLS = ("open,openat,openat2,creat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,"
         "mknod,mknodat,truncate,chmod,fchmodat,chown,fchownat,lchown,execve,execveat,connect,bind,setuid,ptrace,mount")
LINE = re.compile(r"^(?:\d+ +|\[pid +\d+\] )?(\w+)\((.*)\) += (-?\d+)(.*)$")
PATH = re.compile(r'(?:AT_FDCWD<([^>]*)>|\d+<([^>]*)>|^|, ?)(?:, )?"((?:[^"\\]|\\.)*)"')


class World:
    """A home, a spool, a log, and a folder with bait in which nothing may happen."""

    def __init__(self, folder, port, binary):
        self.root = pathlib.Path(folder)
        self.sendmail = self.root / "sendmail"
        self.sendmail.symlink_to(binary)
        self.bait = self.root / "www"
        self.bait.mkdir()
        self.bait.chmod(0o777)
        for name in ("evil", "sh", "pass", "sendmail", "touch"):
            (self.bait / name).write_text(f"#!/bin/sh\necho ran > {self.bait}/ran\n")
            (self.bait / name).chmod(0o755)
        os.mkfifo(self.bait / "fifo")
        account = (f'[accounts.test]\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\nfrom = "alice@example.com"\n')
        self.spool, self.log, self.config = self.root / "spool", self.root / "log", self.root / "config.toml"
        self.trace = self.root / "trace"
        # Where what cannot be sent is kept when a configuration was refused: the spool of this home, or without one of
        # the system, which is closed to this caller.
        self.spools = [self.spool, self.root / ".local", pathlib.Path("/var/spool/mailchute")]
        self.config.write_text(f'log-file = "{self.log}"\n{account}[spool]\ndirectory = "{self.spool}"\n')
        self.planted = self.bait / "planted.toml"
        self.planted.write_text(
            f'log-file = "{self.bait}/shell.php"\n{account}user = "u"\npassword-command = ["{self.bait}/evil"]\n'
            f'[spool]\ndirectory = "{self.bait}/spool"\n')
        for file in (self.config, self.planted):
            file.chmod(0o600)
        # As root, somebody else is the caller: a home that is not the caller's own must not count.
        self.caller = []
        if os.getuid() == 0:
            self.caller = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            self.spools.append(pathlib.Path(pwd.getpwuid(65534).pw_dir))
            for path in (self.root, self.config, self.planted, self.bait / "fifo"):
                os.chown(path, 65534, 65534)

    def filled(self, text):
        return text.replace("{w}", str(self.bait)).replace("{c}", str(self.planted)).replace("{{", "{").replace("}}", "}")

    def listing(self):
        own = {*self.spools, self.log, self.trace}
        found = []
        for path in sorted(self.root.rglob("*")):
            if not any(path == one or one in path.parents for one in own):
                facts = path.lstat()
                found.append((str(path), facts.st_mode, facts.st_size, facts.st_mtime_ns))
        return found

    def may_write(self, path):
        path = os.path.normpath(path)
        inside = any(path == str(spool) or path.startswith(f"{spool}/") for spool in self.spools)
        return inside or path in (str(self.log), "/dev/null")


def paths(arguments):
    """The paths of a traced call, joined with the folders their descriptors stand for."""
    return [os.path.join(at or of or "/", path) for at, of, path in PATH.findall(arguments)]


def wrongs(world, port, trace):
    """What in a trace was not to happen."""
    programs = 0
    for line in trace.splitlines():
        match = LINE.match(line)
        if not match:
            continue
        call, arguments, result, _ = match.groups()
        if call in ("execve", "execveat"):
            programs += 1
            if programs > 1:
                yield f"runs a program: {line}"
        elif call.startswith("open") or call == "creat":
            # Failed ones count as well: it was not to be tried.
            if re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND|^creat", arguments) or call == "creat":
                yield from (f"writes {path}: {line}" for path in paths(arguments)[:1] if not world.may_write(path))
        elif call == "connect":
            if "AF_INET" in arguments and f"htons({port})" not in arguments:
                yield f"connects elsewhere: {line}"
        elif call == "bind":
            if "AF_INET" in arguments:
                yield f"listens: {line}"
        else:
            named = [path for path in paths(arguments) if not path.startswith("/proc/self/fd/")]
            yield from (f"{call} {path}: {line}" for path in named if not world.may_write(path))


def campaign(binary, folder, full):
    """Every command line with every form of call; each with an environment of its own, or with all."""
    if not shutil.which("strace"):
        return "strace is not installed", []
    relay = Relay()
    world = World(folder, relay.port, binary)
    before = world.listing()
    # A home of the caller's own does count, and is used.
    environments = [one for one in ENVIRONMENTS if world.caller or "HOME" not in one]
    lines = [both for words in WORDS for common in COMMON for both in ([*words, *common], [*common[:1], *words])]
    runs, violations, statuses = 0, [], {}
    for number, words in enumerate(lines):
        for variables in environments if full else [environments[number % len(environments)]]:
            runs += 1
            environment = {"PATH": "/usr/bin:/bin", "HOME": str(world.root), "MAILCHUTE_CONFIG": str(world.config)}
            environment |= {name: world.filled(value) for name, value in variables.items()}
            argv = [world.sendmail, *(world.filled(word) for word in words)]
            command = [*world.caller, "strace", "-f", "-qq", "-y", "-s", "4096", "-o", world.trace, "-e", f"trace={CALLS}"]
            done = subprocess.run(
                [*command, "env", "-i", *itertools.starmap("{}={}".format, environment.items()), *argv],
                input=b"To: bob@example.org\nSubject: <?php system(1); ?>\n\ntext\n", stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, cwd=world.bait, timeout=60)
            trace = world.trace.read_text(errors="replace")
            # The first two programs are env(1) and ours.
            trace = trace[trace.index("execve(", trace.index("execve(") + 1):]
            statuses[done.returncode] = statuses.get(done.returncode, 0) + 1
            found = list(wrongs(world, relay.port, trace))
            if done.returncode not in (0, 64, 65, 66, 67, 69, 75, 78):
                found.append(f"exit {done.returncode}")
            if world.listing() != before:
                found.append("the bait was taken: " + str(set(world.listing()) ^ set(before)))
                before = world.listing()
            violations += [f"{argv[1:]} with {variables}: {one}"[:600] for one in found]
    figures = {"command lines": len(lines), "environments": len(environments), "runs": runs, "exit statuses": statuses}
    return figures, violations
