# Functions that the scripts in hack/ share. The scripts source this file; it takes no arguments.
set -euo pipefail
umask 022

script=hack/$(basename "$0")
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$tree/build/venv
caches=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP

# die MESSAGE: print one line for a person, and end the script.
die() {
  echo "$script: $*" >&2
  exit 1
}

# as_root WHAT: end the script unless root runs it.
as_root() {
  [[ $EUID == 0 ]] || die "$1 needs root"
}

# quietly WHAT COMMAND...: run the command, and print nothing unless it fails. If it fails, print WHAT and the last
# lines of its output. Several lines, because the last one is not always the reason: if a certificate was refused, pip's
# last line says that no such package exists.
quietly() {
  local what=$1 log status=0 said
  shift
  log=$(mktemp)
  "$@" </dev/null >"$log" 2>&1 || status=$?
  said=$(grep -v '^[[:space:]]*$' "$log" | tail -n 8) || true
  rm -f "$log"
  [[ $status != 0 ]] || return 0
  [[ $said ]] || die "$what: ${1##*/} ended with status $status and printed nothing"
  [[ $said == *$'\n'* ]] || die "$what: $said"
  die "$what:"$'\n'"$(sed 's/^/    /' <<<"$said")"
}

is_installed() {
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

apt_get() {
  DEBIAN_FRONTEND=noninteractive timeout 600 apt-get -q -y -o DPkg::Lock::Timeout=120 "$@" </dev/null
}

# need_packages PACKAGE...: install those of these Debian packages that are missing.
need_packages() {
  local missing=() package
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  [[ ${#missing[@]} == 0 ]] && return
  type -P apt-get >/dev/null || die "needs the Debian packages ${missing[*]}, and found no apt-get to install them"
  as_root "installing the Debian packages ${missing[*]}"
  echo "$script: installing ${missing[*]}" >&2
  apt_get install --no-install-recommends "${missing[@]}" >/dev/null 2>&1 && return
  quietly "cannot read Debian's package lists" apt_get update -o APT::Update::Error-Mode=any
  quietly "cannot install ${missing[*]}" apt_get install --no-install-recommends "${missing[@]}"
}

# find_python CANDIDATE...: print the path of the first one that is Python 3.11 or newer and can make virtual
# environments. For a shim (pyenv's) print the interpreter that it runs.
find_python() {
  local ask='import sys, ensurepip, venv; print(sys.executable) if sys.version_info >= (3, 11) else sys.exit(1)'
  local candidate
  for candidate in "$@"; do
    "$candidate" -I -c "$ask" 2>/dev/null </dev/null && return
  done
  need_packages python3 python3-venv >&2
  /usr/bin/python3 -I -c "$ask" 2>/dev/null </dev/null || die "needs Python 3.11 or newer; found none of $*"
}

# find_plain_python CANDIDATE...: print the path of the first one that is Python 3.11 or newer.
find_plain_python() {
  local candidate
  for candidate in "$@"; do
    "$candidate" -I -S -c 'import sys; print(sys.executable) if sys.version_info >= (3, 11) else sys.exit(1)' 2>/dev/null </dev/null &&
      return
  done
  die "needs Python 3.11 or newer; found none of $*"
}

# need_compiler: install what compiles the executable, if that is possible. Otherwise Meson says what is missing.
need_compiler() {
  if ! type -P musl-gcc >/dev/null && [[ $EUID == 0 ]] && type -P apt-get >/dev/null; then
    need_packages gcc musl-tools linux-libc-dev
  fi
}

# need_gcc: have a gcc that finds the C library, for the tests' programs and shared libraries. The package of musl
# installs a gcc that does not.
need_gcc() {
  [[ $(gcc -print-file-name=libc.so 2>/dev/null) == /* ]] || need_packages gcc libc6-dev
}

# need_venv: have the virtual environment build/venv.
need_venv() {
  if ! "$venv/bin/python" -I -c '' 2>/dev/null; then
    local python
    python=$(find_python python3 /usr/bin/python3)
    rm -rf "$venv"
    quietly "cannot make the virtual environment $venv" "$python" -m venv "$venv"
  fi
}

# need_go: have a Go that is new enough, and print its path. If the system's is too old, install the one of the Python
# index, as an ordinary user can.
need_go() {
  need_venv
  PYTHONPATH=$tree "$venv/bin/python" -B -c '
import sys
from conformance import build
try:
    print(build.go())
except build.BuildError as error:
    sys.exit(f"{sys.argv[1]}: {error}")' "$script" </dev/null
}

# need_go_module MODULE@VERSION: have this Go module, downloading it if it is missing, and print its folder.
need_go_module() {
  local cache=${GOMODCACHE:-${GOPATH:-${HOME:-/root}/go}/pkg/mod}
  if [[ ! -d $cache/$1 ]]; then
    local go
    go=$(need_go) || exit 1
    echo "$script: downloading the Go module $1" >&2
    (cd / && GOMODCACHE=$cache GOFLAGS=-mod=mod quietly "cannot download $1" timeout 300 "$go" mod download "$1")
    [[ -d $cache/$1 ]] || die "the Go module $1 has been downloaded, but not to $cache/$1"
  fi
  echo "$cache/$1"
}

# keep PATH NAMES REBUILD COMMAND...: have PATH, and count it as used. If it is missing, or if REBUILD is not empty, the
# command makes it: the last argument is where, beside PATH, so that PATH is whole. One script at a time makes something in
# a folder. Then whatever has a name like NAMES there and was not used for two weeks is removed.
keep() {
  local path=$1 folder=${1%/*} names=$2 rebuild=$3 making
  shift 3
  if [[ $rebuild || ! -e $path ]]; then
    mkdir -p "$folder"
    exec {making}>"$folder/making.lock"
    flock "$making"
    if [[ $rebuild || ! -e $path ]]; then
      rm -rf --one-file-system "$folder"/$names.new* || true  # a killed script may have left it
      "$@" "$path.new"
      [[ ! -d $path ]] || rm -rf --one-file-system "$path"
      mv "$path.new" "$path"
      find "$folder" -mindepth 1 -maxdepth 1 -name "$names" -mtime +14 -exec rm -rf --one-file-system {} +
    fi
    exec {making}>&-
  fi
  touch "$path" 2>/dev/null || true
}

# need_programs NAME VERSION COMMAND...: have the programs that `COMMAND... VERSION FOLDER` makes in build/engines/opt/NAME.
# (The cells of tests/engines have that folder as /opt.) They are kept in ${XDG_CACHE_HOME:-~/.cache}/ocirt-engines.
need_programs() {
  local kept=$caches/ocirt-engines/$1-$2 folder=$tree/build/engines/opt/$1
  keep "$kept" "$1-*" '' "${@:3}" "$2"
  mkdir -p "$folder"
  cp --update "$kept"/* "$folder"
}

# need_cri_tools: have crictl and critest.
need_cri_tools() {
  need_programs cri-tools 1.34.0 make_cri_tools
}
make_cri_tools() {
  local module=sigs.k8s.io/cri-tools@v$1 go source
  go=$(need_go) || exit 1
  source=$(need_go_module "$module") || exit 1
  echo "$script: building $module" >&2
  mkdir "$2"
  (
    cd "$source"
    export GOFLAGS=-mod=mod
    quietly "cannot build crictl" timeout 600 "$go" build -o "$2/crictl" ./cmd/crictl
    quietly "cannot build critest" timeout 600 "$go" test -c -o "$2/critest" ./cmd/critest
  )
}

# need_kubernetes: have kubelet, kubectl, the control plane and etcd, built from their Go modules. That of Kubernetes
# leaves out the modules of its own tree, which are published at the same version. The first time takes ten minutes on a
# quiet machine.
need_kubernetes() {
  need_programs kubernetes 1.34.2 make_kubernetes
}
make_kubernetes() {
  local version=$1 etcd=3.6.4 go module
  go=$(need_go) || exit 1
  module=$(need_go_module "k8s.io/kubernetes@v$version") || exit 1
  echo "$script: building Kubernetes $version" >&2
  mkdir "$2"
  (
    cd "$2"
    export GOFLAGS=-mod=mod CGO_ENABLED=0
    # begin MODULE@VERSION: be in a Go module of its own, which needs only that one.
    begin() {
      rm -f go.mod go.sum
      "$go" mod init ocirt.test/node 2>/dev/null
      "$go" mod edit -require "$1"
    }
    build() {
      quietly "cannot build $1" timeout 2400 "$go" build -trimpath -o "$1" \
        -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$version" "$2"
    }
    begin "k8s.io/kubernetes@v$version"
    sed -n 's,^\s*\(k8s.io/[^ ]*\) => ./staging/.*,\1,p' "$module/go.mod" | while read -r name; do
      "$go" mod edit -replace "$name=$name@v0.${version#1.}"
    done
    for name in kubelet kubectl kube-apiserver kube-controller-manager kube-scheduler; do
      build "$name" "k8s.io/kubernetes/cmd/$name"
    done
    begin "go.etcd.io/etcd/server/v3@v$etcd"
    build etcd go.etcd.io/etcd/server/v3
    rm -f go.mod go.sum
  )
}

# need_wheels EXTRA [WHEEL...]: have in build/venv the dependencies that pyproject.toml declares for the package and
# this extra (or "" for none), and further wheels. Uses the network only if pyproject.toml has changed since.
need_wheels() {
  local stamp=$venv/wheels-$1 requirements
  need_venv
  [[ $stamp -nt $tree/pyproject.toml ]] && return
  requirements=$("$venv/bin/python" -I -c '
import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
print(*project["dependencies"], *project["optional-dependencies"].get(sys.argv[2], ()), sep="\n")' \
    "$tree/pyproject.toml" "$1")
  mapfile -t requirements <<<"$requirements"
  echo "$script: installing ${requirements[*]} ${*:2} into ${venv#"$tree/"}" >&2
  quietly "cannot install Python packages" \
    timeout 600 "$venv/bin/python" -m pip install -q --retries 2 "${requirements[@]}" "${@:2}"
  touch "$stamp"
}

# need_prctl: have python-prctl in build/venv. pip compiles it, which needs the headers of libcap and of Python.
need_prctl() {
  local headers
  headers=$("$venv/bin/python" -I -c 'import sysconfig; print(sysconfig.get_path("include"))' </dev/null)
  need_gcc
  need_packages libcap-dev
  [[ -e $headers/Python.h ]] || need_packages python3-dev
  need_wheels prctl
}

# lock_of_containers: print the path of the lock of runs with this parent cgroup.
lock_of_containers() {
  local parent=${OCIRT_TEST_PARENT:-/ocirt-test}
  echo "/run/${parent//\//}.lock"
}

# of_a_commit ARGUMENT...: if --docs is among the script's arguments, end it unless the tree is that of a commit, in which a
# reader of the page can look up what it is about. (In a root of hack/engines-root the script outside has done that.)
of_a_commit() {
  [[ " $* " == *" --docs "* && ! ${OCIRT_TEST_ROOT-} ]] || return 0
  local said
  need_venv
  said=$(cd "$tree" && "$venv/bin/python" -B -m conformance.commit 2>&1 </dev/null) || die "--docs: $said"
}

# offer_youki [--youki...]: put youki on PATH, if cargo or an earlier run has installed it on this machine. With the argument
# --youki among others build it from its crate first, if it is missing; this takes ten minutes on a quiet machine. No Debian has a package.
offer_youki() {
  local kept=$caches/ocirt-youki/youki-0.7.0
  if [[ " $* " == *" --youki "* && ! -x $kept/bin/youki ]]; then
    type -P cargo >/dev/null || die "--youki needs cargo (https://rustup.rs) and crates.io"
    need_packages gcc libseccomp-dev pkg-config
    echo "$script: building youki" >&2
    keep "$kept" 'youki-*' '' make_youki "${kept##*-}"
  fi
  PATH=$PATH:${HOME:-/root}/.cargo/bin:$kept/bin
}
make_youki() {
  # Without these features it knows neither cgroup v1 nor linux.seccomp.
  quietly "cannot build youki" nice -n 10 timeout 3600 \
    cargo install --locked --version "$1" --features v1,v2,systemd,seccomp --root "$2" youki
}

# need_release_before: have a build of the release before this version, and print its executable. A release is the commit
# with its tag. Only 0.1.0 has none: it is the commit that wrote the heading into CHANGELOG.md.
need_release_before() {
  local current version commit folder git=(git -c safe.directory="$tree" -C "$tree")
  current=$(sed -nE 's/^__version__ = "(.*)"$/\1/p' "$tree/ocirt/__init__.py")
  version=$(sed -nE 's/^## ([0-9.]+) - .*/\1/p' "$tree/CHANGELOG.md" | grep -vFx "$current" | head -n 1)
  folder=$tree/build/releases/$version
  if [[ ! -x $folder/build/bin/ocirt ]]; then
    commit=$("${git[@]}" rev-parse --quiet --verify "refs/tags/v$version^{commit}") || commit=''
    [[ $commit || $version != 0.1.0 ]] ||
      commit=$("${git[@]}" log -S"## $version - " --reverse --format=%H -- CHANGELOG.md | head -n 1)
    [[ $commit ]] || die "finds no commit of the release $version: this needs the tag v$version, or for 0.1.0 the whole history"
    echo "$script: building the release $version" >&2
    rm -rf "$folder"
    mkdir -p "$folder"
    "${git[@]}" archive "$commit" | tar -x -C "$folder"
    quietly "cannot build the release $version" timeout 900 "$folder/hack/build"
  fi
  echo "$folder/build/bin/ocirt"
}

# with_caller: set `with_caller` to the words before a command that ends with this script's caller, also if that is killed:
# a run that nobody waits for any more would hold the lock. A script that leads a session of its own (setsid), or that
# ignores hangups (nohup), is meant to outlive its caller.
with_caller() {
  local session ignored
  session=$(cut -d ' ' -f 6 /proc/$$/stat)
  ignored=$(sed -n 's/^SigIgn:\s*//p' /proc/$$/status)
  with_caller=()
  (( session == $$ || 0x$ignored & 1 )) || with_caller=(setpriv --pdeathsig TERM)
}

# one_at_a_time: set `run` to the words before a command that runs containers. They give the command a mount namespace
# of its own, and make it wait for other runs on this machine with the same parent cgroup, because each run removes all
# cgroups that it finds there.
one_at_a_time() {
  local lock
  lock=$(lock_of_containers)
  unshare --mount --propagation private true 2>/dev/null ||
    die "this root may not make mount namespaces, as whatever runs containers here must"
  flock --nonblock "$lock" true || echo "$script: waiting for another run of containers on this machine" >&2
  run=(flock --timeout 1000 --close "$lock" setpriv --pdeathsig TERM unshare --mount --propagation private)
}
