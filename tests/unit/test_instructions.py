"""`ocirt commit --change`: a Dockerfile's words for an image's config."""

import pytest

from ocirt.errors import RequestError
from ocirt.images.instructions import apply

BASE = {"Env": ["PATH=/bin", "LANG=C"], "Cmd": ["sh"], "WorkingDir": "/srv", "Labels": {"a": "1"}}


@pytest.mark.parametrize(
    "line, member, value",
    [
        ('CMD ["python3", "-i"]', "Cmd", ["python3", "-i"]),
        ("cmd echo $HOME", "Cmd", ["/bin/sh", "-c", "echo $HOME"]),
        ("ENV LANG=C.UTF-8 NEW='a b'", "Env", ["PATH=/bin", "LANG=C.UTF-8", "NEW=a b"]),
        ("ENV NOTE a = b", "Env", ["PATH=/bin", "LANG=C", "NOTE=a = b"]),
        ("LABEL b=2", "Labels", {"a": "1", "b": "2"}),
        ("USER 1000:1000", "User", "1000:1000"),
        ("WORKDIR app/..", "WorkingDir", "/srv"),
        ("WORKDIR /app", "WorkingDir", "/app"),
        ("EXPOSE 80 53/udp", "ExposedPorts", {"80/tcp": {}, "53/udp": {}}),
        ('VOLUME ["/data", "/a b"]', "Volumes", {"/data": {}, "/a b": {}}),
        ("VOLUME /data", "Volumes", {"/data": {}}),
        ("STOPSIGNAL SIGINT", "StopSignal", "SIGINT"),
    ],
)
def test_an_instruction(line, member, value):
    assert apply(BASE, [line]) == BASE | {member: value}


def test_an_entry_point_takes_the_command_of_the_image_below_away():
    assert "Cmd" not in apply(BASE, ['ENTRYPOINT ["/run"]'])
    changed = apply(BASE, ['ENTRYPOINT ["/run"]', 'CMD ["x"]'])
    assert (changed["Entrypoint"], changed["Cmd"]) == (["/run"], ["x"])


@pytest.mark.parametrize(
    "line",
    ["", "CMD", "RUN make", "CMD [1]", "CMD [", "ENV =x", "ENV A=1 B", "EXPOSE http", "EXPOSE 0", "EXPOSE 1/icmp"],
)
def test_what_is_no_instruction(line):
    with pytest.raises(RequestError, match="^--change") as raised:
        apply(BASE, [line])
    assert "expected" in str(raised.value) and raised.value.path == "change"


def test_the_config_of_the_image_below_stays():
    before = {name: type(value)(value) for name, value in BASE.items()}
    apply(BASE, ["ENV A=1", "LABEL x=y", "VOLUME /x"])
    assert BASE == before
