"""A network that a test makes: the program under test has a host of its own, 10.9.0.1 and 2001:db8:9::1, with a second
one on its link, 10.9.0.2 and 10.9.0.3 (2001:db8:9::2 and ::3). There a server answers "there" on TCP port 8000, and a
name server says that each name is 10.9.0.2.
"""

SERVER = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = socket.create_server((sys.argv[1], int(sys.argv[2])), family=family, dualstack_ipv6=family == socket.AF_INET6)
while True:
    server.accept()[0].sendall(b"there")
"""
NAMES = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("10.9.0.2", 53))
while True:
    query, client = server.recvfrom(512)
    question = query[12 : query.index(b"\\0", 12) + 5]
    is_for_ipv4 = question[-4:-2] == b"\\0\\1"
    answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\0\\0\\4" + socket.inet_aton("10.9.0.2") if is_for_ipv4 else b""
    server.sendto(query[:2] + b"\\x81\\x80\\0\\1\\0" + bytes([is_for_ipv4]) + bytes(4) + question + answer, client)
"""
LAN = """
ip link set lo up
ip link add v0 type veth peer name v1
unshare --net sleep 600 </dev/null >/dev/null 2>&1 & lan=$!
while [ "$(readlink /proc/$lan/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link set v1 netns /proc/$lan/ns/net
ip addr add 10.9.0.1/24 dev v0
ip addr add 10.9.9.1/32 dev lo
ip addr add 2001:db8:9::1/64 dev v0 nodad
ip link set v0 up
ip route add default via 10.9.0.2
ip route add default via 2001:db8:9::2
nsenter --net=/proc/$lan/ns/net sh -c '
  ip link set lo up
  for address in 10.9.0.2/24 10.9.0.3/24; do ip addr add $address dev v1; done
  for address in 2001:db8:9::2/64 2001:db8:9::3/64; do ip addr add $address dev v1 nodad; done
  ip link set v1 up'
timeout 600 nsenter --net=/proc/$lan/ns/net python3 -c "$SERVER" :: 8000 </dev/null >/dev/null 2>&1 & one=$!
timeout 600 python3 -c "$SERVER" 127.0.0.1 9000 </dev/null >/dev/null 2>&1 & two=$!
timeout 600 nsenter --net=/proc/$lan/ns/net python3 -c "$NAMES" </dev/null >/dev/null 2>&1 & three=$!
for port in 8000:10.9.0.2 9000:127.0.0.1; do
  until python3 -c "import socket; socket.create_connection(('${port#*:}', ${port%:*}))" 2>/dev/null; do sleep 0.05; done
done
"$@"
status=$?
kill $lan $one $two $three
exit $status
"""


DEVICES = """
mount -t tmpfs -o mode=755 tmpfs /dev/net
mknod -m 666 /dev/net/tun c 10 200
mount -t devpts -o newinstance,ptmxmode=666 devpts /dev/pts
"""
"""Lets users make interfaces in their network namespaces, and terminals, as most hosts do."""


def on_lan(*command, devices=""):
    """The command line that runs this command on such a network. The host's loopback has a server on port 9000.

    :param devices: DEVICES if the command is a user's.
    """
    own = ["--net", *(["--mount", "--propagation", "private"] if devices else [])]
    servers = ["env", f"SERVER={SERVER}", f"NAMES={NAMES}"]
    return ["unshare", *own, *servers, "sh", "-c", devices + LAN, "sh", *map(str, command)]
