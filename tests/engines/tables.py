"""The tables of matrix.py: for each engine its commands, and its set-up."""

import json

from tests.engines.cell import PATH
from tests.engines.containerd import Containerd, container, sandbox
from tests.engines.docker import Docker
from tests.engines.expected import PATHS
from tests.engines.installed import CRI_TOOLS
from tests.engines.podman import Podman
from tests.engines.test_rootless import User

REASONS = {
    "nocgroup": "podman's list of runtimes that can do this lacks runc",
    "capability": "this root lacks CAP_SYS_RESOURCE: runc fails, ocirt grants the capabilities that root has",
    "newer": "Debian 12's runc knows neither personalities nor mounts that map ids, and leaves both out",
    "leaves": "runc leaves cgroups behind: those that it made above the container's, and one of a pod",
}

ALIKE = (
    # A masked file is covered by /dev/null: runc takes the container's, which the container may have changed, ocirt the
    # host's.
    (r"mount (\S+) /null \[.*\] (dev)?tmpfs .*", r"mount \1 null"),
    # A masked directory is covered by a read-only tmpfs; ocirt's has no space either.
    (r"mount (\S+) / \['ro,relatime'\] tmpfs (tmpfs|none) .*", r"mount \1 nothing"),
    # A mount can be read-only while its superblock is not.
    (r"(mount /sys / \['ro,.*'\] sysfs sysfs) r[ow]", r"\1"),
    # If the cgroups must be read-only, ocirt also mounts read-only the tmpfs that has their mount points.
    (r"(mount /sys/fs/cgroup / \[')r[ow](,.* tmpfs tmpfs .*)", r"\1r?\2"),
    # In a user namespace default devices are bound: nosuid and noexec by ocirt and crun, unchanged by runc. A host's
    # /dev may be nosuid itself.
    (
        r"mount (/dev/(full|null|random|tty|urandom|zero)) /\2 \['rw,(?:nosuid,)?(?:noexec,)?relatime'(.*)",
        r"mount \1 device\3",
    ),
    # containerd asks for the pod's /dev/shm with only `rw`. Since runc 1.2 that is a flag like others: flags of the
    # source that are not named are cleared. Debian 12's runc still keeps them.
    (r"mount /dev/shm / \['rw,(?:nosuid,nodev,noexec,)?relatime'\] tmpfs shm .*", r"mount /dev/shm shm"),
    # Debian 12's runc leaves the rootfs a slave of the host's mount. runc since 1.2, crun and ocirt make it private.
    (r"(mount / .* \['[^]]*'), 'master:N'(\].*)", r"\1\2"),
)
"""Mounts that differ and do the same, or more: patterns for the result of :func:`matrix.mount`, what is compared
instead, and why."""

PODMAN = """
run --rm busybox true
run --rm busybox false
run --rm busybox sh -c 'echo out; echo err >&2; exit 7'
run --rm busybox sh -c 'kill -9 $$'
run --rm busybox sh -c 'kill -TERM $$; sleep 1'
run --rm busybox sh -c 'env | sort'
run --rm --env A=b --env C= busybox sh -c 'env | sort'
run --rm --workdir /tmp busybox pwd
run --rm --workdir /made/here busybox pwd
run --rm --hostname here busybox hostname
run --rm busybox cat /etc/resolv.conf /etc/hosts
run --rm busybox ls -l /dev
run --rm busybox cat /proc/1/limits
@mounts run --rm busybox cat /proc/self/mountinfo
run --rm busybox /no/such
run --rm busybox nosuch
run --rm busybox /etc
run --rm busybox /etc/passwd
run --rm --user nobody2 busybox true
run --rm --user guest busybox id
run --rm --user 5:6 --group-add 7 busybox id
run --rm --read-only busybox touch /x
run --rm --read-only busybox sh -c 'touch /tmp/x && echo fine'
run --rm --tmpfs /scratch:size=1m,mode=700 busybox sh -c 'ls -ld /scratch; grep scratch /proc/mounts'
run --rm --cap-drop all busybox grep Cap /proc/self/status
run --rm --cap-add NET_ADMIN busybox grep Cap /proc/self/status
run --rm --cap-drop CHOWN busybox chown guest /tmp
run --rm --security-opt no-new-privileges busybox grep NoNewPrivs /proc/self/status
run --rm --security-opt seccomp=unconfined busybox grep Seccomp: /proc/self/status
run --rm --security-opt seccomp=/run/seccomp.json busybox mkdir /tmp/x
run --rm --security-opt mask=/proc/version busybox cat /proc/version
run --rm --security-opt unmask=ALL busybox sh -c 'mount | grep -c proc'
run --rm --init busybox sh -c 'cat /proc/1/comm'
run --rm --network none busybox ip -o address
run --rm --network host busybox ip -o link
run --rm --pid host busybox sh -c 'cat /proc/1/comm'
run --rm --ipc host --uts host busybox readlink /proc/self/ns/ipc
run --rm --cgroupns private busybox cat /proc/self/cgroup
!nocgroup run --rm --cgroups disabled busybox true
run --rm --userns auto busybox id
run --rm --uidmap 0:300000:1000 busybox sh -c 'cat /proc/self/uid_map /proc/self/gid_map'
run --rm --sysctl net.ipv4.ip_forward=1 busybox cat /proc/sys/net/ipv4/ip_forward
run --rm --sysctl net.ipv4.ip_forward=no busybox true
run --rm --sysctl kernel.nosuch=1 busybox true
run --rm --ulimit nofile=100:200 --ulimit nproc=1000:2000 busybox cat /proc/self/limits
run --rm --ulimit nofile=100000:100000 --ulimit nproc=1000:2000 busybox true
run --rm --device /dev/full busybox sh -c 'echo > /dev/full'
run --rm --device /dev/full:/dev/mine:r busybox sh -c 'ls -l /dev/mine; echo > /dev/mine'
run --rm --device-cgroup-rule 'c 1:7 rwm' busybox sh -c 'mknod /tmp/full c 1 7'
run --rm --shm-size 1m busybox df -k /dev/shm
run --rm --privileged busybox true
run --rm --volume /run/dir:/mnt:ro busybox sh -c 'cat /mnt/file; touch /mnt/x'
run --rm --volume /run/dir:/mnt:rw,noexec busybox sh -c "grep /mnt /proc/self/mountinfo | cut -d' ' -f4-"
run --rm --volume /no/such:/mnt busybox true
run --rm --mount type=bind,source=/run/dir/file,target=/etc/mine busybox cat /etc/mine
run --rm --volume data:/data busybox sh -c 'echo kept > /data/file'
run --rm --volume data:/data busybox cat /data/file
run --rm --memory 20m busybox tail /dev/zero
run --rm --memory 4m --memory-swap 4m busybox echo enough
run --rm --umask 0077 busybox sh -c 'umask; touch /tmp/x; ls -l /tmp/x | cut -c1-10'
!newer run --rm --personality LINUX32 busybox uname -m
run --rm --user guest --group-add extra --cap-add NET_BIND_SERVICE busybox sh -c 'id; grep Cap /proc/self/status'
run --rm --tmpfs /etc:tmpcopyup busybox sh -c 'ls -ld /etc; ls /etc | sort; touch /etc/x'
run --rm --mount type=tmpfs,dst=/t,U=true --user guest busybox sh -c 'ls -ldn /t; touch /t/x'
run --rm --mount type=devpts,dst=/pts,uid=5,gid=6,mode=600,max=10 busybox sh -c 'grep /pts /proc/self/mountinfo | cut -d" " -f5-'
run --rm --mount type=bind,src=/run/dir,dst=/m,ro,bind-propagation=rslave busybox sh -c 'touch /m/x; grep " /m " /proc/self/mountinfo | cut -d" " -f5-6'
!newer run --rm --userns auto --volume /run/dir:/m:idmap busybox sh -c 'ls -ln /m'
run --rm --volume /run/dir:/m:O busybox sh -c 'echo x > /m/new; ls /m'
run --rm --volume /run/dir:/a --volume /run/dir/file:/a/file busybox cat /a/file
run --rm --security-opt proc-opts=hidepid=2 --user guest busybox sh -c 'ls -d /proc/1; grep " /proc " /proc/self/mountinfo | cut -d" " -f5-'
run --rm --security-opt mask=/proc/version:/etc/passwd busybox sh -c 'cat /proc/version /etc/passwd'
run --rm --sysctl net.ipv4.ping_group_range='0 1000' busybox cat /proc/sys/net/ipv4/ping_group_range
run --rm --ipc none busybox ls /dev/shm
run --rm --oom-score-adj 500 busybox cat /proc/self/oom_score_adj
@status run --rm --oom-score-adj -500 busybox true
run --rm --memory 10m --memory-swap -1 busybox true
run --rm --pids-limit 1 busybox sh -c 'true & true'
run --rm --device-cgroup-rule 'c 1:* r' busybox sh -c 'mknod /tmp/n c 1 9; head -c1 /tmp/n | wc -c'
run --rm --timeout 1 busybox sleep 30
run --rm busybox ''
run --rm busybox ./nosuch
@sh exec 3</run/dir/file; podman run --rm --preserve-fds 1 busybox cat /proc/self/fd/3
@sh head -c 300000 /dev/zero | podman run --rm -i busybox wc -c
@sh podman run --rm --env A=$(head -c 100000 /dev/zero | tr '\\0' a) busybox sh -c 'echo ${#A}'
@sh podman run --rm $(for i in $(seq 60); do echo --volume /run/dir:/v$i --tmpfs /t$i; done) busybox grep -c -e ' /v' -e ' /t' /proc/self/mountinfo
run --rm --tmpfs /t busybox ls -ldn /t
run --rm --mount type=tmpfs,dst=/root,notmpcopyup busybox ls -ldn /root
run --rm --cap-add all --cap-drop sys_resource busybox grep Cap /proc/self/status
run --rm --cap-drop all --cap-add NET_BIND_SERVICE --user guest --security-opt no-new-privileges busybox grep Cap /proc/self/status
run --detach --name u1 --memory 100m busybox sleep 300
update --cpu-period 50000 --cpu-quota 25000 u1
update --cpuset-cpus 0 --cpuset-mems 0 u1
update --memory 200m --memory-swap 300m u1
update --memory-reservation 40m u1
update --pids-limit 77 u1
@cgroups u1
update --pids-limit -1 u1
update --memory 1m u1
@cgroups u1
pause u1
update --memory 150m u1
rm u1
rm --force --time 0 u1
pod create --name pc --share net --memory 100m --cpus 0.5 --sysctl net.ipv4.ip_forward=1 --shm-size 1m --security-opt no-new-privileges
run --detach --pod pc --name pcm --memory 50m busybox sleep 300
@process pcm
@cgroups pcm
pod rm --force --time 0 pc
@tty run --rm -it busybox sh -c 'tty; test -t 2; echo $?; ls -l /dev/pts /dev/console'
@tty run --rm -it busybox stty -a
run --detach --name c1 --memory 100m --memory-reservation 50m --cpu-shares 300 --cpus 0.5 --cpuset-cpus 0 --pids-limit 50 busybox sleep 300
@cgroups c1
@process c1
ps --format '{{.Names}} {{.Image}} {{.Command}} {{.State}}'
inspect --format '{{.State.Status}} {{.State.OciVersion}} {{.HostConfig.Memory}} {{.Path}} {{.Args}} {{.Mounts}}' c1
top c1 args
exec c1 id
exec --user guest --workdir /tmp --env A=b c1 sh -c 'echo $A $PWD; id -un; exit 4'
exec c1 nosuch
exec c1 /etc/passwd
exec --detach c1 sleep 10
@tty exec -it c1 tty
exec --privileged c1 true
exec --privileged c1 grep Cap /proc/self/status
exec --user guest c1 grep Cap /proc/self/status
exec --user 5:7 c1 id
exec --workdir /nosuch c1 true
exec c1 sh -c 'kill -9 $$'
exec c1 ''
@sh exec 3</run/dir/file; podman exec --preserve-fds 1 c1 cat /proc/self/fd/3
pause c1
inspect --format '{{.State.Status}}' c1
exec c1 true
unpause c1
update --memory 50m --cpu-shares 200 c1
@cgroups c1
start c1
restart --time 1 c1
kill --signal 0 c1
kill --signal USR1 c1
@until ! podman ps -q | grep -q .
inspect --format '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' c1
kill c1
start c1
stop --time 0 c1
logs c1
rm c1
run --detach --name oom --memory 20m busybox tail /dev/zero
wait oom
inspect --format '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' oom
run --detach --name trap busybox sh -c 'trap "echo term; exit 9" TERM; echo ready; while :; do sleep 0.05; done'
@wait trap ready
stop trap
inspect --format '{{.State.ExitCode}}' trap
logs trap
diff trap
run --name changes busybox sh -c 'echo new > /root/new; rm /etc/group; mkdir /m'
diff changes
commit --quiet changes v2
run --rm v2 cat /root/new
create --name made busybox echo made
start --attach made
start --attach made
create --name ready busybox sleep 300
init ready
exec ready true
kill ready
stop --time 0 ready
inspect --format '{{.State.Status}} {{.State.ExitCode}}' ready
rm ready
run --detach --name plain --health-cmd true --health-interval disable busybox sleep 300
@cgroups plain
@process plain
run --rm --pid container:plain busybox sh -c 'cat /proc/1/comm'
run --rm --network container:plain --ipc container:plain busybox true
healthcheck run plain
run --detach --name mapped --userns auto --user guest --read-only --init --cap-drop all --security-opt no-new-privileges busybox sleep 300
@process mapped
run --detach --name caps --cap-add SYS_ADMIN --cap-add NET_RAW --security-opt seccomp=unconfined --volume /run/dir:/mnt:rslave --oom-score-adj 100 busybox sleep 300
@process caps
pod create --name p1
run --detach --pod p1 --name server busybox httpd -f -p 80 -h /etc
@until podman logs server
run --rm --pod p1 busybox wget -qO- http://127.0.0.1/passwd
@process server
pod ps --format '{{.Name}} {{.Status}} {{.NumberOfContainers}}'
pod stop --time 0 p1
pod rm --force p1
pod create --name p2 --share net,uts,ipc,pid --hostname here --userns auto
run --rm --pod p2 busybox sh -c 'hostname; cat /proc/1/comm; cat /proc/self/uid_map'
pod rm --force --time 0 p2
network create n1
run --detach --network n1 --name web busybox httpd -f -p 80 -h /etc
run --rm --network n1 busybox wget -qO- http://web/passwd
rm --all --force --time 0
network rm n1
volume rm data
!leaves @left
"""

ROOTLESS = """
run --rm busybox sh -c 'id; cat /proc/self/uid_map; exit 7'
run --rm busybox nosuch
@mounts run --rm busybox cat /proc/self/mountinfo
run --rm --user guest busybox id
run --rm --userns keep-id busybox id -u
run --rm --read-only busybox touch /x
run --rm --network none busybox ip -o address
run --rm --volume data:/data busybox touch /data/x
@tty run --rm -it busybox tty
run --detach --name c1 busybox sleep 300
@process c1
exec c1 id
kill c1
wait c1
rm c1
volume rm data
@left
"""

BUILDAH = """
bud --isolation oci --tag built /run/context
bud --isolation oci --layers --tag built /run/context
bud --isolation oci --layers --tag built /run/context
bud --isolation oci /run/failing
bud --isolation oci /run/missing
bud --isolation oci --cap-drop all /run/caps
bud --isolation oci --network none /run/caps
bud --isolation oci --memory 100m --cgroup-parent /built --ulimit nofile=100:200 /run/caps
from --name work localhost/busybox
run --isolation oci work sh -c 'echo out; echo err >&2; exit 3'
run --isolation oci --user guest work id
run --isolation oci --volume /run/context:/mnt:ro work cat /mnt/page
run --isolation oci work sh -c 'env | sort; grep -e Cap -e Seccomp: -e NoNewPrivs /proc/self/status'
run --isolation oci work nosuch
run --isolation oci work /etc/passwd
run --isolation oci --hostname here work hostname
@tty run --isolation oci --tty work tty
run --isolation oci work sh -c 'kill -9 $$'
run --isolation oci work ./nosuch
run --isolation oci --workingdir /made/x work pwd
run --isolation oci --workingdir /etc/passwd work pwd
run --isolation oci --cap-add SYS_ADMIN --cap-drop CHOWN work grep Cap /proc/self/status
run --isolation oci --cap-drop all --user 5:6 work grep -e Cap -e Groups -e id: /proc/self/status
run --isolation oci --mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700 work sh -c "ls -ld /t; grep ' /t ' /proc/self/mountinfo | cut -d' ' -f5-"
run --isolation oci --mount type=cache,target=/cache work sh -c 'echo kept > /cache/x'
run --isolation oci --mount type=cache,target=/cache work cat /cache/x
run --isolation oci --volume /run/dir:/m:O work sh -c 'touch /m/new; ls /m/new'
run --isolation oci --volume /nosuch:/m work true
run --isolation oci --device /dev/full:/dev/mine:r work sh -c 'ls -l /dev/mine; echo > /dev/mine'
run --isolation oci --network none work ls /sys/class/net
run --isolation oci --pid host work cat /proc/1/comm
run --isolation oci --cgroupns private work cat /proc/self/cgroup
run --isolation oci --no-pivot work ls /
run --isolation oci --user nosuch work id
from --name mapped --userns-uid-map 0:100000:5000 --userns-gid-map 0:100000:5000 localhost/busybox
run --isolation oci mapped sh -c 'cat /proc/self/uid_map; id'
run --isolation oci --user guest mapped id
rm mapped
from --name limited --memory 100m --cpu-shares 300 --cpuset-cpus 0 --ulimit nofile=100:200 --shm-size 1m --security-opt seccomp=unconfined --security-opt no-new-privileges localhost/busybox
run --isolation oci limited sh -c 'grep -e Seccomp: -e NoNew /proc/self/status; grep open /proc/self/limits; df -k /dev/shm | tail -1; grep allowed_list /proc/self/status'
rm limited
bud --isolation oci --memory 20m /run/hungry
commit --quiet work second
rm work
@left
"""

DOCKER = """
run --rm busybox true
run --rm busybox sh -c 'echo out; echo err >&2; exit 7'
run --rm busybox sh -c 'kill -9 $$'
run --rm --env A=b busybox sh -c 'env | sort'
run --rm --workdir /made/here busybox pwd
run --rm --hostname here busybox hostname
run --rm busybox ls -l /dev
@mounts run --rm busybox cat /proc/self/mountinfo
run --rm busybox /no/such
run --rm busybox nosuch
run --rm busybox /etc
run --rm busybox /etc/passwd
run --rm --user nobody2 busybox true
run --rm --user guest busybox id
run --rm --user 5:6 --group-add 7 busybox id
run --rm --read-only --tmpfs /scratch:size=1m busybox sh -c 'touch /scratch/x; touch /x'
run --rm --cap-drop ALL busybox grep Cap /proc/self/status
run --rm --cap-add ALL --cap-drop SYS_RESOURCE busybox grep Cap /proc/self/status
run --rm --security-opt no-new-privileges busybox grep NoNewPrivs /proc/self/status
run --rm --security-opt seccomp=unconfined busybox grep Seccomp: /proc/self/status
!capability run --rm --privileged busybox true
run --rm --init busybox cat /proc/1/comm
run --rm --network none busybox ip -o address
run --rm --network host busybox ls /sys/class/net
run --rm --pid host busybox cat /proc/1/comm
run --rm --cgroupns private busybox cat /proc/self/cgroup
run --rm --sysctl net.ipv4.ip_forward=no busybox true
run --rm --ulimit nofile=100:200 busybox cat /proc/self/limits
run --rm --ulimit nofile=100000:100000 busybox true
run --rm --device /dev/full:/dev/mine:r busybox sh -c 'ls -l /dev/mine; echo > /dev/mine'
run --rm --shm-size 1m busybox df -k /dev/shm
run --rm --volume /run/dir:/mnt:ro busybox sh -c 'cat /mnt/file; touch /mnt/x'
run --rm --mount type=bind,source=/no/such,target=/mnt busybox true
run --rm --volume data:/data busybox sh -c 'echo kept > /data/file'
run --rm --volume data:/data busybox cat /data/file
run --name oom --memory 20m busybox tail /dev/zero
inspect --format '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' oom
run --rm --memory 6m busybox echo enough
@tty run --rm -it busybox sh -c 'tty; test -t 2; echo $?; ls -l /dev/pts /dev/console'
run --detach --name c1 --memory 500m --memory-reservation 50m --cpu-shares 512 --cpus 0.5 --cpuset-cpus 0 --pids-limit 50 busybox sleep 300
@cgroups c1
@process c1
ps --format '{{.Names}} {{.Image}} {{.Command}} {{.State}}'
stats --no-stream --format '{{.Name}} {{.PIDs}}' c1
@numbers top c1 -o pid,args
exec c1 id
exec --user guest --workdir /tmp --env A=b c1 sh -c 'echo $A $PWD; id -un; exit 4'
exec c1 nosuch
exec c1 /etc/passwd
@tty exec -it c1 tty
pause c1
exec c1 true
unpause c1
update --memory 50m --memory-swap 60m --cpu-shares 200 c1
@cgroups c1
kill --signal USR1 c1
@until ! docker --host unix:///run/docker-test.sock ps -q | grep -q .
inspect --format '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' c1
kill c1
start c1
restart --time 0 c1
stop --time 0 c1
rm c1
run --detach --name trap busybox sh -c 'trap "echo term; exit 9" TERM; echo ready; while :; do sleep 0.05; done'
@wait trap ready
stop trap
inspect --format '{{.State.ExitCode}}' trap
logs trap
run --name changes busybox sh -c 'echo new > /root/new; rm /etc/group'
@sorted diff changes
commit changes v2
run --rm v2 cat /root/new
run --detach --name plain busybox sleep 300
@cgroups plain
@process plain
run --rm --pid container:plain --network container:plain busybox cat /proc/1/comm
run --detach --name caps --cap-add SYS_ADMIN --security-opt seccomp=unconfined --volume /run/dir:/mnt:rslave --oom-score-adj 100 --init --read-only busybox sleep 300
@process caps
network create n1
run --detach --network n1 --name web busybox httpd -f -p 80 -h /etc
run --rm --network n1 busybox wget -qO- http://web/passwd
build --tag built /run/context
build --tag built /run/context
build /run/failing
run --rm built
rm --force oom trap changes plain caps web
network rm n1
volume rm data
@left
"""

CTR = """
run --rm c1 true
run --rm c1 sh -c 'echo out; echo err >&2; exit 7'
run --rm --env=A=b --cwd=/tmp c1 sh -c 'env; pwd'
@mounts run --rm c1 cat /proc/self/mountinfo
run --rm c1 /no/such
run --rm c1 nosuch
run --rm c1 /etc/passwd
run --rm --read-only c1 touch /x
run --rm --seccomp c1 grep Seccomp: /proc/self/status
run --rm --privileged c1 true
run --rm --cap-add=CAP_SYS_ADMIN --cap-drop=CAP_CHOWN c1 grep Cap /proc/self/status
run --rm --net-host c1 ls /sys/class/net
run --rm --mount=type=bind,src=/run/dir,dst=/mnt,options=rbind:ro c1 sh -c 'cat /mnt/file; touch /mnt/x'
@tty run --rm --tty c1 tty
@tty run --rm --tty c1 sh -c 'stty size; ls -l /dev/console | cut -c1-10'
run --rm --cwd=/nosuch c1 pwd
run --rm --user=guest c1 id
run --rm --user=5:6 c1 id
run --rm --seccomp --seccomp-profile=/run/seccomp.json c1 mkdir /tmp/x
run --rm --cap-drop=CAP_CHOWN,CAP_KILL c1 grep Cap /proc/self/status
run --rm --allow-new-privs=false c1 grep NoNew /proc/self/status
run --rm --device=/dev/full c1 sh -c 'echo > /dev/full'
run --rm --device=/dev/nosuch x1 true
run --rm --mount=type=tmpfs,dst=/t,options=ro c1 touch /t/x
run --rm --mount=type=bind,src=/run/dir/file,dst=/a/b/c,options=rbind:ro:nosuid c1 cat /a/b/c
run --rm --mount=type=bind,src=/nosuch,dst=/a/b/c,options=rbind:ro c1 cat /a/b/c
run --rm --mount=type=nosuch,dst=/m,options=ro c1 true
run --rm --mount=type=tmpfs,dst=/m,options=nosuchoption c1 true
run --rm --mount=type=sysfs,dst=/s2,options=ro c1 ls /s2/kernel/uevent_seqnum
run --rm --mount=type=cgroup,dst=/cg,options=ro c1 sh -c 'ls /cg | sort'
run --rm --with-ns=network:/proc/1/ns/net c1 ls /sys/class/net
run --rm --with-ns=pid:/proc/1/ns/pid c1 cat /proc/1/comm
run --rm --with-ns=ipc:/no/ns c1 true
run --rm --with-ns=uts:/proc/1/ns/uts c1 hostname
run --rm --cgroup=/mine c1 sh -c 'cut -d: -f3 /proc/self/cgroup | sort -u'
run --rm --memory-limit=1000 c1 true
run --rm --cpuset-cpus=99 c1 true
run --rm --cpu-shares=5 --cpuset-cpus=0 --cpuset-mems=0 c1 grep allowed_list /proc/self/status
run --rm --no-pivot c1 ls /
run --rm c1 sh -c 'sleep 100 & exit 3'
run --rm c1 ''
run --rm c1 /etc
run --rm c1 ./nosuch
run --detach --memory-limit=104857600 --cpus=0.5 c1 sleep 300
@cgroups c1
@process c1
@status tasks metrics --format json c1
@numbers tasks ps c1
tasks exec --exec-id e1 c1 id
tasks exec --exec-id e1 c1 nosuch
tasks exec --exec-id e1 c1 /etc/passwd
tasks exec --exec-id e1 --cwd /etc c1 pwd
tasks exec --exec-id e1 --cwd /nosuch c1 pwd
tasks exec --exec-id e1 --user 5:6 c1 id
tasks exec --exec-id e1 c1 sh -c 'kill -9 $$'
tasks exec --exec-id e1 c1 sh -c 'exit 255'
tasks pause c1
tasks resume c1
tasks kill --signal 0 c1
tasks kill --signal KILL c1
@until ctr tasks list | grep -q STOPPED
tasks kill c1
tasks delete c1
containers delete c1
run --detach c2 sleep 300
tasks delete --force c2
containers delete c2
run --detach c3 sh -c 'sleep 300 & sleep 300 & wait'
tasks kill --all --signal KILL c3
@until ctr tasks list | grep -q STOPPED
tasks delete c3
containers delete c3
!leaves @left
"""

CRI = """
runp /run/p1.json
inspectp --output go-template --template '{{.status.state}} {{.info.runtimeType}}' %p1
create %p1 /run/c1.json /run/p1.json
start %c1
@cgroups c1
@process c1
start %c1
ps --output json --quiet
exec --sync %c1 id
exec --sync %c1 nosuch
exec --sync %c1 sh -c 'exit 4'
update --memory 52428800 --cpu-share 200 %c1
@cgroups c1
stats --output json --id %c1 --quiet
stop --timeout 0 %c1
inspect --output go-template --template '{{.status.state}} {{.status.exitCode}} {{.status.reason}}' %c1
rm %c1
create %p1 /run/exits.json /run/p1.json
start %exits
@until ! /run/crictl ps --quiet --name exits | grep -q .
inspect --output go-template --template '{{.status.state}} {{.status.exitCode}} {{.status.reason}}' %exits
logs %exits
create %p1 /run/oom.json /run/p1.json
start %oom
@until ! /run/crictl ps --quiet --name oom | grep -q .
inspect --output go-template --template '{{.status.state}} {{.status.exitCode}} {{.status.reason}}' %oom
create %p1 /run/missing.json /run/p1.json
start %missing
inspect --output go-template --template '{{.status.state}} {{.status.exitCode}} {{.status.reason}}' %missing
create %p1 /run/locked.json /run/p1.json
start %locked
@process locked
stopp %p1
rmp %p1
runp /run/host.json
create %host /run/c1.json /run/host.json
start %c1
@process c1
stopp %host
rmp %host
@left
"""

SECCOMP = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
}
CONTEXTS = {
    "context": 'FROM {base}\nENV WORD=built\nRUN echo $WORD > /data/page && chown guest /data/page\nCOPY page /data/copied\nUSER guest\nCMD ["cat", "/data/page"]\n',
    "failing": "FROM {base}\nRUN echo said; exit 7\n",
    "missing": 'FROM {base}\nRUN ["/no/such"]\n',
    "hungry": "FROM {base}\nRUN tail /dev/zero\n",
    "caps": "FROM {base}\nRUN grep Cap /proc/self/status; ulimit -n; ls /sys/class/net; cat /sys/fs/cgroup/memory/memory.limit_in_bytes\n",
}


def _files(cell, base):
    cell.write("/run/seccomp.json", json.dumps(SECCOMP))
    cell.write("/run/dir/file", "from-host\n")
    for name, text in CONTEXTS.items():
        cell.write(f"/run/{name}/Dockerfile", text.format(base=base))
    cell.write("/run/context/page", "copied\n")


class _Podman(Podman):
    def __init__(self, cell, archives, runtime):
        super().__init__(cell, archives, runtime)
        _files(cell, "localhost/busybox")

    def words(self, *words):
        return "podman", *words

    def log(self, name):
        return self("logs", name).out


class _Rootless(User):
    def words(self, *words):
        return super().words(*(words if words[0] == "podman" else ("podman", *words)))

    def pid(self, name):
        return self.ok("container", "inspect", "--format", "{{.State.Pid}}", name)


class _Buildah(_Podman):
    def words(self, *words):
        return (
            "env",
            f"BUILDAH_RUNTIME={PATHS[self.runtime]}",
            "buildah",
            *words,
        )

    def __call__(self, *words, **more):
        return self.cell(*self.words(*words), **more)


class _Docker(Docker):
    def __init__(self, cell, archives, runtime):
        super().__init__(cell, archives, runtime)
        _files(cell, "busybox")

    def log(self, name):
        return self("logs", name).out


class _Ctr(Containerd):
    """ctr takes --no-pivot instead of the options that --runc-binary has set: containerd then runs the runc of its PATH."""

    def __init__(self, cell, archives, runtime):
        folder = "/run/instead-of-runc"
        cell.path(folder).mkdir()
        cell.path(f"{folder}/runc").symlink_to(PATHS[runtime])
        super().__init__(cell, archives, runtime, prefix=("env", f"PATH={folder}:{PATH}"))
        _files(cell, "localhost/busybox")

    def words(self, *words):
        return super().words(*words[1:]) if words[0] == "run" else ("ctr", *words)

    def __call__(self, *words, **more):
        return self.cell(*self.words(*words), **more)


class _Cri(Containerd):
    """``%NAME`` is the id of the newest container of that name, or else of the pod."""

    def __init__(self, cell, archives, runtime):
        super().__init__(cell, archives, runtime, crictl=CRI_TOOLS / "crictl")
        cell.ok("ln", "-s", CRI_TOOLS / "crictl", "/run/crictl")
        locked = {
            "linux": {
                "security_context": {
                    "run_as_user": {"value": 1000},
                    "readonly_rootfs": True,
                    "no_new_privs": True,
                    "capabilities": {"drop_capabilities": ["ALL"]},
                    "seccomp": {"profile_type": 0},
                    "supplemental_groups": [7],
                }
            }
        }
        limited = {
            "linux": {
                "resources": {
                    "memory_limit_in_bytes": 100 << 20,
                    "cpu_shares": 512,
                    "cpu_quota": 50000,
                    "cpu_period": 100000,
                    "cpuset_cpus": "0",
                }
            }
        }
        files = {
            "p1": sandbox("p1"),
            "host": sandbox(
                "host", linux={"security_context": {"namespace_options": {"network": 2, "pid": 2, "ipc": 2}}}
            ),
            "c1": container("c1", "sleep", "300", **limited),
            "exits": container("exits", "sh", "-c", "echo out; exit 7"),
            "oom": container("oom", "tail", "/dev/zero", linux={"resources": {"memory_limit_in_bytes": 20 << 20}}),
            "missing": container("missing", "/no/such"),
            "locked": container("locked", "sleep", "300", **locked),
        }
        for name, config in files.items():
            cell.write(f"/run/{name}.json", json.dumps(config))
        # Let the plugins make what they make once and keep.
        pod = self.cri_ok("runp", "/run/p1.json")
        self.cri_ok("rmp", "--force", pod)

    def _id(self, name):
        for words in (
            ("ps", "--all", "--latest", "--quiet", "--name", f"^{name}$"),
            ("pods", "--latest", "--quiet", "--name", f"^{name}$"),
        ):
            found = self.cri_ok(*words)
            if found:
                return found.split()[0]
        return f"no-{name}"

    def __call__(self, *words, **more):
        return self.cri(*(self._id(word[1:]) if word.startswith("%") else word for word in words), **more)

    def pid(self, name):
        return json.loads(self.cri_ok("inspect", self._id(name)))["info"]["pid"]


TABLES = {
    "podman": (PODMAN, _Podman),
    "rootless": (ROOTLESS, _Rootless),
    "buildah": (BUILDAH, _Buildah),
    "docker": (DOCKER, _Docker),
    "ctr": (CTR, _Ctr),
    "cri": (CRI, _Cri),
}
"""For each engine its table, and the function that sets it up."""
