#!/bin/sh
# Called by a program instead of the runtime $REAL, which it runs with the same arguments. Before and after the verb
# VERB it evaluates the variables before_VERB and after_VERB. $bundle is the bundle of the last create, $status the exit
# status of the runtime.
verb=$1
if [ "$verb" = create ]; then
  for word; do
    [ "$last" != --bundle ] || echo "$word" >/run/cell/bundle
    last=$word
  done
fi
bundle=$(cat /run/cell/bundle)
eval "hook=\$before_$verb"
eval "$hook"
"$REAL" "$@"
status=$?
eval "hook=\$after_$verb"
eval "$hook"
exit "$status"
