"""Several hosts out of one machine: `python -m tests.support.hosts` makes them and gives a shell on the laptop.

A host has its own network, mounts, processes, inter-process communication and host name, its own /tmp, /run and
/dev/shm, its own home folder and its own sshd. Everything else on the disk is common to all: that is their shared
folder. The laptop is the machine that a person sits at; the cables of the others end in a bridge there.

A host is nothing but processes, each of which dies with the one that started it. So a crash of the caller leaves
no process, no network and no mount behind, and the next call frees the folder.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

BASE = Path("/var/tmp/sweep-hosts")
"""Homes and keys. Not below /tmp, of which every host has its own."""
SHARED = Path("/mnt/sweep")
"""Where the hosts mount the folder that they share."""
NETWORK = "10.77.0"
TOOLS = ("ip", "unshare", "nsenter", "setpriv", "mount", "sshd", "ssh", "ssh-keygen", "rsync")
_APART = ("--net", "--mount", "--pid", "--uts", "--ipc")
T = TypeVar("T")
_MORTAL = ("setpriv", "--pdeathsig", "KILL")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def missing(*needed: Path) -> str:
    """Why no hosts can be made here, or that one of the `needed` files would not be seen on them; else empty."""
    if os.geteuid() != 0:
        return "making hosts needs root"
    absent = [tool for tool in TOOLS if shutil.which(tool, path=_PATH) is None]
    if absent:
        return f"making hosts needs {', '.join(absent)} (Debian: openssh-server, iproute2, util-linux, rsync)"
    for path in needed:
        if any(path.is_relative_to(own) for own in ("/tmp", "/run", "/mnt", "/dev/shm")):
            return f"{path} cannot be seen on the hosts, which have their own /{path.parts[1]}"
    probe = (
        "mount -t tmpfs tmpfs /tmp && ip link add probe type bridge && ip link add near type veth peer name far"
    )
    command = ["unshare", *_APART, "--fork", "sh", "-c", probe]
    tried = subprocess.run(command, check=False, capture_output=True, text=True)
    return f"this kernel lets nobody make hosts: {tried.stderr.strip()}" if tried.returncode else ""


@dataclass
class Host:
    """One of the hosts, whether it is on or off."""

    name: str
    address: str
    _lan: "Host | None" = None
    _power: "subprocess.Popen[bytes] | None" = None
    _pid: int = 0
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """Its home folder, which survives a loss of power."""
        return BASE / self.name

    @property
    def _card(self) -> str:
        return f"02:77:00:00:00:{int(self.address.rpartition('.')[2]):02x}"

    def power_on(self) -> None:
        """Boot it and plug its cable in; with sshd, but for the laptop."""
        (BASE / f"{self.name}.on").unlink(missing_ok=True)
        boot = _boot(
            self.name,
            f"exec $(command -v sshd) -D -e -f {BASE}/sshd_config" if self._lan else "exec sleep infinity",
        )
        with open(BASE / f"{self.name}.log", "ab") as log:
            self._power = subprocess.Popen(
                [*_MORTAL, "unshare", *_APART, "--fork", "--kill-child", "--mount-proc", "sh", "-ec", boot],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": _PATH},
            )
        self._pid = _eventually(self._first_process, f"{self.name} does not boot")
        if self._lan is None:
            self._wire(f"link add lan address {self._card} type bridge")
            self._wire(f"address add {self.address}/24 dev lan", "link set lan up")
            return
        port = f"to-{self.name}"
        self._lan._wire(f"link add {port} type veth peer name eth0 address {self._card} netns {self._pid}")
        self._lan._wire(f"link set {port} master lan up")
        self._wire(f"address add {self.address}/24 dev eth0", "link set eth0 up")
        self._wire(f"route add default via {self._lan.address}")
        self._lan.await_port(self.address, 22)

    def power_off(self) -> None:
        """Everything on it is gone at once; its home folder and what lies outside its own mounts stay."""
        if self._power is not None:
            self._power.kill()
            self._power.wait()
            _eventually(lambda: not Path(f"/proc/{self._pid}").exists(), f"{self.name} does not go off")
            self._power = None

    def cable(self, plugged: bool) -> None:
        """Cut its cable, or mend it; what runs on it notices nothing but that."""
        assert self._lan is not None
        self._lan._wire(f"link set to-{self.name} {'up' if plugged else 'down'}")

    def kill_processes(self) -> None:
        """SIGKILL for everything on it but sshd itself."""
        self.run("kill -9 -1")

    def start(self, command: str, folder: Path | None = None, **options: Any) -> "subprocess.Popen[str]":
        """`command`, a line for bash, begun on the host as root logs in there; output and errors in one stream."""
        variables = {"HOME": str(self.home), "PATH": _PATH, "LANG": "C.UTF-8", "USER": "root", **self.variables}
        inside = ["nsenter", "--target", str(self._pid), *_APART, f"--wd={folder or self.home}"]
        return subprocess.Popen(
            [*_MORTAL, *inside, "bash", "-c", command],
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options},
            env=variables,
            text=True,
            start_new_session="stdin" not in options,
        )

    def run(self, command: str, folder: Path | None = None, timeout: float = 120) -> tuple[int, str]:
        """Exit code and output of `command` on the host; it is killed after `timeout` seconds."""
        process = self.start(command, folder)
        try:
            said = process.communicate(timeout=timeout)[0]
            return process.returncode, said
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def await_port(self, address: str, port: int) -> None:
        """Wait until something listens there, as this host sees it."""
        probe = f"timeout 1 bash -c 'exec 3<>/dev/tcp/{address}/{port}'"
        _eventually(lambda: self.run(probe, timeout=10)[0] == 0, f"nothing listens at {address}:{port}")

    def _first_process(self) -> int:
        assert self._power is not None
        assert self._power.poll() is None, (BASE / f"{self.name}.log").read_text()
        children = Path(f"/proc/{self._power.pid}/task/{self._power.pid}/children").read_text().split()
        ready = children and (BASE / f"{self.name}.on").exists()
        return int(children[0]) if ready else 0

    def _wire(self, *commands: str) -> None:
        """`ip` commands in the host's network, with the caller's processes."""
        for command in commands:
            inside = ["nsenter", "--target", str(self._pid), "--net"]
            subprocess.run([*inside, "ip", *command.split()], check=True, env={"PATH": _PATH}, timeout=30)


@dataclass(frozen=True)
class Hosts:
    """The laptop and the hosts that can be reached from it by ssh with the key `~/.ssh/id_ed25519`."""

    laptop: Host
    head: Host
    workers: tuple[Host, ...]

    @property
    def shared(self) -> Path:
        """The hosts' shared folder, as this machine sees it."""
        return BASE / "shared"


@contextmanager
def hosts(workers: int = 2) -> Iterator[Hosts]:
    """A laptop, a head and workers, all of them on; nothing is left of them at the end. One set at a time."""
    with ExitStack() as stack:
        lock = os.open(BASE.parent, os.O_RDONLY)
        stack.callback(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(BASE, ignore_errors=True)
        stack.callback(shutil.rmtree, BASE, ignore_errors=True)
        laptop = Host("laptop", f"{NETWORK}.1")
        names = ["head", *(f"worker-{number + 1}" for number in range(workers))]
        others = [Host(name, f"{NETWORK}.{11 + at}", laptop) for at, name in enumerate(names)]
        _furnish([laptop, *others])
        for host in (laptop, *others):
            stack.callback(host.power_off)
            host.power_on()
        yield Hosts(laptop, others[0], tuple(others[1:]))


def _furnish(every: list[Host]) -> None:
    """Homes, one key that opens every host, and what sshd has to know."""
    for host in every:
        host.home.mkdir(parents=True)
        (BASE / f"{host.name}.passwd").write_text(
            f"root:x:0:0:root:{host.home}:/bin/bash\nsshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"
            "nobody:x:65534:65534::/:/usr/sbin/nologin\n"
        )
    (BASE / "shared").mkdir()
    (BASE / "shadow").write_text("root:*:19000:0:99999:7:::\n")
    (BASE / "shadow").chmod(0o600)
    for folder in (every[0].home / ".ssh", BASE):
        folder.mkdir(mode=0o700, exist_ok=True)
        name = "id_ed25519" if folder.name == ".ssh" else "host_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(every[0].home / ".ssh" / "id_ed25519.pub", BASE / "authorized_keys")
    (BASE / "sshd_config").write_text(
        f"HostKey {BASE}/host_key\nAuthorizedKeysFile {BASE}/authorized_keys\nPermitRootLogin yes\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nUseDNS no\nPidFile none\nMaxStartups 100\n"
    )


def _boot(name: str, last: str) -> str:
    """What the first process of a host does before it becomes its sshd."""
    return "\n".join(
        [
            *(f"mount -t tmpfs tmpfs {own}" for own in ("/tmp", "/run", "/dev/shm")),
            "mount -t tmpfs tmpfs /mnt",
            f"mkdir {SHARED}",
            f"mount --bind {BASE}/shared {SHARED}",
            f"mount --bind {BASE}/{name}.passwd /etc/passwd",
            f"mount --bind {BASE}/shadow /etc/shadow",
            f"hostname {name}",
            "mkdir -m 755 /run/sshd",
            "ip link set lo up",
            f"touch {BASE}/{name}.on",
            last,
        ]
    )


def _eventually(ask: Callable[[], T], complaint: str, seconds: float = 20) -> T:
    until = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < until, complaint
        time.sleep(0.05)
    return answer


def main() -> None:
    """A shell on the laptop, for as long as it is open."""
    reason = missing(Path(sys.executable))
    if reason:
        sys.exit(reason)
    with hosts() as made:
        there = ", ".join(f"ssh {host.address} ({host.name})" for host in (made.head, *made.workers))
        print(f"{there}; shared folder {SHARED}; `exit` takes them down")
        made.laptop.start("exec bash -i", stdin=None, stdout=None, stderr=None).wait()


if __name__ == "__main__":
    main()
