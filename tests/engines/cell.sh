#!/bin/sh
# The first process of a cell: `cell.sh CGROUP`. cell.py has made the cgroup in each hierarchy.
#
# It has new mount, network, pid, ipc and cgroup namespaces. CGROUP looks like the root of every hierarchy; /run, /tmp,
# /dev/shm, /var/lib, /var/log, /var/tmp and the home are empty; changes in /etc are lost; the network has only lo. All
# other processes of the cell end with this one.
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

case $1 in
  --inside) ;;
  --below)
    if [ "$unified" ]; then
      # A v2 cgroup with processes cannot enable controllers for its children. So the processes of the cell are in a child,
      # and their old cgroup stays the namespace's root.
      mkdir "/sys/fs/cgroup$2/cell"
      echo 0 >"/sys/fs/cgroup$2/cell/cgroup.procs"
      sed 's/[^ ]\+/+&/g' "/sys/fs/cgroup$2/cgroup.controllers" >"/sys/fs/cgroup$2/cgroup.subtree_control"
    fi
    shift
    exec unshare --mount --net --pid --ipc --fork --kill-child --mount-proc --propagation private "$0" --inside "$@" ;;
  *)
    for top in $(mounted); do
      # "0" is the writer itself. Moving one thread through `tasks` needs no RCU grace period; v2 has no `tasks`.
      if [ -e "$top$1/tasks" ]; then echo 0 >"$top$1/tasks"; else echo 0 >"$top$1/cgroup.procs"; fi
    done
    exec unshare --cgroup "$0" --below "$@" ;;
esac

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
