#!/bin/sh
# Run a command in a cell: `cell.sh CGROUP COMMAND...`. The cgroup CGROUP (which cells.py has made in each hierarchy,
# below /ocirt-test-conformance) looks like the root of every hierarchy. /run, where runtimes keep their states, is an
# empty tmpfs with the working folder /run/cell, which any user may write. All of it ends with the last process.
set -eu

unified=
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || unified=1  # cgroup v2 alone
mounted() { # the hierarchies
  if [ "$unified" ]; then
    echo /sys/fs/cgroup
    return
  fi
  for top in /sys/fs/cgroup/*; do
    [ -L "$top" ] || [ ! -e "$top/cgroup.procs" ] || echo "$top"
  done
}

if [ "$1" != --inside ]; then
  for top in $(mounted); do
    # "0" is the writer itself. Moving one thread through `tasks` needs no RCU grace period; v2 has no `tasks`.
    if [ -e "$top$1/tasks" ]; then echo 0 >"$top$1/tasks"; else echo 0 >"$top$1/cgroup.procs"; fi
  done
  exec unshare --cgroup --mount --propagation private "$0" --inside "$@"
fi
cgroup=$2
shift 2
for top in $(mounted); do
  mount --bind "$top$cgroup" "$top"
done
if [ "$unified" ]; then
  # A v2 cgroup with processes cannot enable controllers for its children. So the processes move to a child, and their
  # old cgroup stays the namespace's root.
  mkdir /sys/fs/cgroup/cell
  echo 0 >/sys/fs/cgroup/cell/cgroup.procs
  sed 's/[^ ]\+/+&/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
fi
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/cell/tmp
chmod 1777 /run/cell/tmp
cd /run/cell
exec "$@"
