#!/bin/sh
# Run a command in a cell, as root, in the cell's cgroup: `enter.sh PID CGROUP COMMAND...`. PID is the cell's first
# process.
set -eu
pid=$1
# With cgroup v2 alone it is a child of the cell's cgroup: cell.sh.
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || echo 0 >"/sys/fs/cgroup$2/cell/cgroup.procs"
for top in /sys/fs/cgroup/*; do
  if [ -L "$top" ]; then continue; fi
  if [ -e "$top$2/tasks" ]; then echo 0 >"$top$2/tasks"; elif [ -e "$top$2" ]; then echo 0 >"$top$2/cgroup.procs"; fi
done
shift 2
exec nsenter --target "$pid" --mount --net --pid --ipc --cgroup -- "$@"
