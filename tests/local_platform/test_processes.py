"""Servers on a leash: nothing of them outlives the program, and no two get in each other's way."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from process_table import commands_with

from local_platform.processes import leash
from local_platform.processes.ports import free_ports
from local_platform.processes.s3_server import S3Server

pytestmark = pytest.mark.real


def test_two_servers_have_nothing_in_common(s3):
    with S3Server() as other:
        assert other.endpoint_url != s3.endpoint_url
        assert other.secret_access_key != s3.secret_access_key
        other.client().put_object(Bucket="flux", Key="here", Body=b"x")
        assert "Contents" not in s3.client().list_objects_v2(Bucket="flux", Prefix="here")
        with pytest.raises(Exception, match=r"403|Forbidden|InvalidAccessKeyId"):
            S3Server.client(_with_credentials_of(s3, other)).head_bucket(Bucket="flux")


def _with_credentials_of(server, other):
    mixed = S3Server()
    mixed.endpoint_url = server.endpoint_url
    mixed.access_key_id, mixed.secret_access_key = other.access_key_id, other.secret_access_key
    return mixed


def test_a_taken_port_is_said_and_nothing_pretends_to_be_ready(s3):
    port = s3.endpoint_url.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "local_platform.commands.serve_sdk"],
        env={**os.environ, "PORT": port},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.strip() == f"Port {port} is taken: choose another by PORT=…."


@pytest.mark.parametrize(("command", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)])
def test_a_server_that_ends_by_itself_ends_its_leash(tmp_path, command, code):
    held = leash.start(["sh", "-c", command], os.environ, tmp_path / "log")
    assert held.wait(timeout=20) == code
    assert (tmp_path / "log").read_text() == ""


def test_an_object_is_had_with_a_key_only(s3):
    s3.client().put_object(Bucket="flux", Key="hidden", Body=b"x")
    (command,) = _servers(s3.endpoint_url.rpartition(":")[2])
    ports = re.findall(r"-\w+\.port=(\d+)", command.read_text())
    assert len(ports) > 3
    for port in ports:
        for path in ("/buckets/flux/hidden", "/flux/hidden"):
            with pytest.raises(HTTPError, match=r"400|403|404"):
                urlopen(f"http://127.0.0.1:{port}{path}")


def test_telemetry_is_off(s3):
    port = s3.endpoint_url.rpartition(":")[2]
    for command in commands_with(f"-s3.port={port}"):
        assert "-master.telemetry=false" in command.read_text()


HOLD = """
import time
from local_platform.processes.s3_server import S3Server
with S3Server() as server:
    print(server.endpoint_url, flush=True)
    time.sleep(120)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_whatever_ends_the_program_ends_the_server_and_its_data(how):
    program = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    port = program.stdout.readline().strip().rpartition(":")[2]
    (command,) = _servers(port)
    data = Path(re.search(r"-dir=([^\0]+)", command.read_text())[1])
    assert data.is_dir()
    its_own = sockets(port)
    assert len(its_own) > 3
    program.send_signal(how)
    program.wait()
    deadline = time.monotonic() + 20
    # The leash's own command line has the port, too.
    while time.monotonic() < deadline and (data.exists() or commands_with(f"-s3.port={port}")):
        time.sleep(0.05)
    assert not data.exists()
    assert not commands_with(f"-s3.port={port}")
    assert not [path for path in its_own if path.exists()]


PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)", sys.argv[1]])
time.sleep(120)
"""


@pytest.mark.parametrize("how", ["end", "SIGTERM"])
def test_a_servers_children_end_with_it(how, tmp_path):
    mark = str(tmp_path)
    held = leash.start([sys.executable, "-c", PARENT, mark], os.environ)
    while len(commands_with(mark)) < 3:  # the leash's own command line has it too
        time.sleep(0.05)
    if how == "SIGTERM":
        held.terminate()
        held.wait(timeout=20)
    else:
        leash.end(held)
    assert not commands_with(mark)


def sockets(port):
    """The sockets of the server on this port; it names their ports when it is started."""
    (command,) = _servers(port)
    ports = re.findall(r"\.port\.grpc=(\d+)", command.read_text())
    return [path for each in ports for path in Path("/tmp").glob(f"seaweedfs-*-grpc-{each}.sock")]


def _servers(port):
    """The command lines of the server on this port, without its leash's."""
    return [each for each in commands_with(f"-s3.port={port}") if "leash" not in each.read_text()]


def test_a_free_port_is_none_that_a_system_gives_to_whoever_asks_for_any():
    """A connection may take one of those before the server that it is for listens."""
    ports = free_ports(50)
    assert len(set(ports)) == 50
    with socket.create_server(("127.0.0.1", 0)) as any_port:
        assert max(ports) < any_port.getsockname()[1]
