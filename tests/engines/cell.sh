#!/bin/sh
# The first process of a cell: `cell.sh CGROUP`. See cell.py, which has made the cgroup in each hierarchy.
#
# New mount, network, pid, ipc and cgroup namespaces: CGROUP looks like the root of every hierarchy; /run, /tmp, /dev/shm,
# /var/lib, /var/log, /var/tmp and the home are empty, what is written to /etc is forgotten, the network is lo alone. With this
# process all others of the cell go.
set -eu

mounted() { # the hierarchies
  for top in /sys/fs/cgroup/*; do
    [ -L "$top" ] || [ ! -e "$top/cgroup.procs" ] || echo "$top"
  done
}

if [ "$1" != --inside ]; then
  for top in $(mounted); do
    # "0" is the writer itself. A lone thread moved by `tasks` does not wait for an RCU grace period; v2 has no `tasks`.
    if [ -e "$top$1/tasks" ]; then echo 0 >"$top$1/tasks"; else echo 0 >"$top$1/cgroup.procs"; fi
  done
  exec unshare --cgroup --mount --net --pid --ipc --fork --kill-child --mount-proc --propagation private "$0" --inside "$@"
fi

for top in $(mounted); do
  mount --bind "$top$2" "$top"
done
for place in /run /var/lib /var/log; do
  mount -t tmpfs -o mode=755 tmpfs "$place"
done
for place in /tmp /var/tmp /dev/shm; do
  mount -t tmpfs -o mode=1777 tmpfs "$place"
done
mkdir -p /run/lock /run/home /run/etc/upper /run/etc/work
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work overlay /etc
mount --make-rshared /
ip link set lo up
cd /
echo ready
exec catatonit -P </dev/null >/dev/null 2>&1
