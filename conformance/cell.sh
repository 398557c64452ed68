#!/bin/sh
# Run a command in a cell: `cell.sh CGROUP FOLDER COMMAND...`. Cgroup CGROUP (cells.py has made it in each hierarchy,
# beneath /ocirt-test-conformance) looks like the root of every hierarchy, FOLDER is an empty tmpfs and the working
# folder, /run is an empty tmpfs too (runtimes keep their states there). With the last process all of it is gone.
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
  exec unshare --cgroup --mount --propagation private "$0" --inside "$@"
fi
cgroup=$2 folder=$3
shift 3
for top in $(mounted); do
  mount --bind "$top$cgroup" "$top"
done
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=755 cell "$folder"
cd "$folder"
exec "$@"
