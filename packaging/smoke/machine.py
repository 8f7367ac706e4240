"""A clean Debian system in a throw-away view, which starts with its own systemd where the kernel lets it."""

import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/realworld"))

import lab as laboratory
from lab import wait_until

# What apt, dpkg, systemd and the log keep for themselves.
NOT_OURS = ("/dev", "/proc", "/run", "/sys", "/tmp", "/var/cache", "/var/lib/apt", "/var/lib/dpkg", "/var/lib/systemd", "/var/log")
# What only a real machine needs.
UNWANTED = ("console-getty getty@tty1 systemd-firstboot systemd-logind systemd-networkd systemd-machine-id-commit systemd-sysctl "
            "systemd-modules-load systemd-binfmt").split()


class Machine(laboratory.View):
    """The clean system: started when the kernel lets it, and what is typed there is shown."""

    def __init__(self, lab):
        super().__init__(lab, "smoke", "smoke")
        self.inside = ["chroot", str(self.path)]
        self.devices()
        # Services may start, as on a machine.
        (self / "/usr/sbin/policy-rc.d").unlink()
        # The index of manual pages takes longer than all the rest.
        (self / "/var/lib/man-db/auto-update").unlink()
        for unit in (*(f"{name}.service" for name in UNWANTED), "systemd-networkd.socket"):
            (self / f"/etc/systemd/system/{unit}").symlink_to("/dev/null")

    def devices(self):
        """Devices and kernel settings of its own: nothing it does reaches the machine's."""
        dev = self / "/dev"
        mount("--rbind", "--make-rprivate", dev, dev)
        subprocess.run(["umount", "--recursive", "--lazy", dev], check=True)
        subprocess.run(["umount", "--recursive", "--lazy", dev])
        mount("-t", "tmpfs", "dev", dev, "-o", "mode=755")
        for name, number in {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}.items():
            os.mknod(dev / name, 0o666 | 0o020000, os.makedev(1, number))
            (dev / name).chmod(0o666)
        os.mknod(dev / "tty", 0o666 | 0o020000, os.makedev(5, 0))
        for name in ("pts", "shm"):
            (dev / name).mkdir()
        mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666", "devpts", dev / "pts")
        mount("-t", "tmpfs", "shm", dev / "shm")
        for name, to in {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}.items():
            (dev / name).symlink_to(to)
        (self / "/sys").mkdir(exist_ok=True)
        mount("-t", "sysfs", "-o", "ro", "sysfs", self / "/sys")
        mount("-t", "tmpfs", "run", self / "/run", "-o", "mode=755")

    def start(self):
        """Starts systemd as process 1; says what keeps it from that, and the system is then used without."""
        if subprocess.run(["mount", "-t", "cgroup2", "cgroup", self / "/sys/fs/cgroup"], capture_output=True).returncode:
            return "no control groups of the second version"
        # Without mounts that are shared, units get no credentials.
        script = ('mount -t proc proc "$1/proc" && mount --bind "$1/proc/sys" "$1/proc/sys" && mount -o remount,ro,bind "$1/proc/sys" && '
                  'cd "$1" && pivot_root . . && umount -l . && mount --make-rshared / && exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd')
        enter = ["unshare", "--mount", "--pid", "--cgroup", "--fork", "--kill-child", "sh", "-c", script, "sh", self.path]
        with open(self.path.with_suffix(".systemd"), "wb") as streams:
            outer = subprocess.Popen(enter, stdin=subprocess.DEVNULL, stdout=streams, stderr=streams)
        children = pathlib.Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        first = wait_until(lambda: children.read_text().split(), 5)
        if not first:
            return pathlib.Path(streams.name).read_text(errors="replace")
        before, self.inside = self.inside, ["nsenter", "-t", first[0], "-m", "-p", "-C", "-r", "-w"]
        done = wait_until(lambda: self.quietly("systemctl is-system-running").stdout.strip() in (b"running", b"degraded"), 60)
        if not done:
            said = self.quietly("systemctl is-system-running; systemctl list-jobs")
            os.kill(outer.pid, signal.SIGKILL)
            self.inside = before
            return laboratory.shown(said)
        return ""

    def command(self, argv, user="root", environment=None):
        line = super().command(argv, user, environment)
        inner = line[line.index("/usr/bin/env"):]
        become = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return [*self.inside, *become, *inner]

    def quietly(self, line, user="root", stdin=b"", seconds=60):
        return self.call(["bash", "-o", "pipefail", "-c", line], stdin, user, {"DEBIAN_FRONTEND": "noninteractive"}, seconds)

    def type(self, line, user="root", stdin=b"", most=12):
        """Runs a line and shows it, with the end of what it said."""
        print(f"\n{user}{'#' if user == 'root' else '$'} {line}", flush=True)
        outcome = self.quietly(line, user, stdin, 120)
        said = (outcome.stdout + outcome.stderr).decode(errors="replace").splitlines()
        print("\n".join([f"    ({len(said) - most} lines)"] * (len(said) > most) + [f"    {text}" for text in said[-most:]]), flush=True)
        return outcome

    def tree(self):
        """What is on the disk: kind, mode, owner and age by path."""
        found = {}
        for folder, _, files in os.walk(self.path):
            inside = "/" + os.path.relpath(folder, self.path).removeprefix(".")
            if inside.startswith(NOT_OURS):
                continue
            for path in [folder, *(os.path.join(folder, file) for file in files)]:
                about = os.lstat(path)
                age = about.st_mtime_ns if path != folder else 0
                found["/" + os.path.relpath(path, self.path)] = (about.st_mode, about.st_uid, about.st_gid, age)
        return found


def mount(*words):
    subprocess.run(["mount", *words], check=True)
