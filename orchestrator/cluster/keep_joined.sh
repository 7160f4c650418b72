#!/bin/sh
# Keeps this machine in a Ray cluster: `keep_joined.sh --address=HEAD:6379 [options of ray start]` returns at once.
#
# Ray's launcher tries once to bring a worker back, and one that it could not reach then stays out. This goes on
# trying: after Ray was killed here, after the network was away, after the head was started anew. It gives up when
# no head has answered for some minutes, as after `ray down`. Asked again it changes nothing, or takes new options.
keeper=$HOME/.sweep-worker-$(hostname)
process= options=
[ -f "$keeper" ] && read -r process options < "$keeper"
if [ -n "$process" ] && grep -qs sweep-worker "/proc/$process/cmdline"; then
  [ "$options" = "$*" ] && exit 0
  kill "$process"
  ray stop
fi
trap "" HUP
setsid sh -c '
  echo "$$ $*" > "$0"
  failures=0
  while [ $failures -lt 20 ]; do
    if pgrep -u "$(id -u)" -x raylet > /dev/null; then
      failures=0
    else
      ray stop
      ray start "$@" || failures=$((failures + 1))
    fi
    sleep 5
  done
' "$keeper" "$@" > "$keeper.log" 2>&1 < /dev/null &
