# What hack/bench-guest and hack/bench-mounts share. They source this file after hack/lib.sh.

# in_guest NAME SECONDS [--docs] [--before TREE] ARGUMENT...: run the module bench.NAME in the guest of hack/vm --suite forky,
# which writes NAME.json into the folder build/bench/NAME. With --docs show that in docs/benchmark.md. TREE is another tree
# with a build in it, which the module finds as "before" in its folder.
in_guest() {
  local name=$1 seconds=$2 docs='' before='' commit load
  shift 2
  of_a_commit "$@"
  while [[ ${1-} == --docs || ${1-} == --before ]]; do
    if [[ $1 == --docs ]]; then
      docs=1
    else
      [[ -x ${2-}/build/bin/ocirt ]] || die "--before ${2-}: expected a tree with a build in it"
      before=$(realpath "$2")
      shift
    fi
    shift
  done
  "$tree/hack/build"
  need_wheels ""
  need_gcc
  local share=$tree/build/bench/$name
  rm -rf "$share"
  mkdir -p "$share"
  chmod 1777 "$share"
  gcc -O2 -w -static -pthread -DPARENT='"ocirt-test-bench"' "$tree/hack/bench.d/floor.c" -o "$share/floor"
  if [[ $before ]]; then
    mkdir "$share/before"
    (cd "$before" && cp -r --parents build/bin build/meson/ocirt/_build.py ocirt "$share/before")
    git -c safe.directory="$before" -C "$before" rev-parse --short=12 HEAD >"$share/before/commit"
  fi
  commit=$(cd "$tree" && "$venv/bin/python" -B -c 'from conformance.commit import commit; print(commit())')
  load=$(cut -d ' ' -f 1-3 /proc/loadavg)
  "$tree/hack/vm" --suite forky --timeout "$seconds" --share "$share" -- env PYTHONPATH=/tree/hack/bench.d:/tree \
    unshare --mount --propagation private python3 -m "bench.$name" --commit "$commit" "$@" </dev/null
  load+=" before, $(cut -d ' ' -f 1-3 /proc/loadavg) after"
  [[ ! $docs ]] || "$tree/hack/bench" --render "$tree/docs/benchmark.json" "--$name" "$share/$name.json" --load "$load" --docs
}
