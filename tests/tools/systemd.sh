#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The drop-in that makes targetctl's unit wait for tcmu-runner: where it is installed, whether systemd
# understands it, and what it does when tcmu-runner does not run.
# usage: systemd.sh BUILD_DIRECTORY
set -euo pipefail

build=$1
failed=0
check() { # NAME COMMAND...
  local name=$1
  shift
  if "$@"; then
    echo "ok - $name"
  else
    echo "not ok - $name"
    failed=1
  fi
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

DESTDIR=$scratch/root cmake --install "$build" --component systemd >/dev/null
folder=usr/lib/systemd/system/rtslib-fb-targetctl.service.d
conf=$scratch/root/$folder/thinmirror.conf
check "it is installed beside Debian's unit" test -f "$conf"

units=$scratch/units
mkdir -p "$units"
cp -r "$scratch/root/$folder" "$units/"
for unit in rtslib-fb-targetctl tcmu-runner; do
  cp "/usr/lib/systemd/system/$unit.service" "$units/" 2>/dev/null ||
    cp "/lib/systemd/system/$unit.service" "$units/" 2>/dev/null || true
done
if command -v systemd-analyze >/dev/null && [[ -e $units/rtslib-fb-targetctl.service ]]; then
  SYSTEMD_UNIT_PATH=$units:/usr/lib/systemd/system systemd-analyze verify --man=no \
    "$units/rtslib-fb-targetctl.service" >"$scratch/verify" 2>&1 || true
  check "systemd understands it" test -z "$(grep thinmirror "$scratch/verify" || true)"
  echo 'Nonsense=yes' >>"$units/rtslib-fb-targetctl.service.d/thinmirror.conf"
  SYSTEMD_UNIT_PATH=$units:/usr/lib/systemd/system systemd-analyze verify --man=no \
    "$units/rtslib-fb-targetctl.service" >"$scratch/verify" 2>&1 || true
  check "and would tell if it did not" grep -q "thinmirror.conf.*Nonsense" "$scratch/verify"
else
  echo "ok - systemd understands it # SKIP no systemd-analyze, or no unit of targetctl"
fi
check "tcmu-runner is started first" \
  test "$(grep -c '^\(Wants\|After\)=tcmu-runner.service$' "$conf")" = 2

# Its command, with a systemctl and a saved configuration of ours.
mkdir "$scratch/bin"
printf '#!/bin/sh\n[ "$*" = "is-active --quiet tcmu-runner.service" ] && exit "$ACTIVE"\nexit 99\n' \
  >"$scratch/bin/systemctl"
chmod +x "$scratch/bin/systemctl"
command=$(sed -n 's/^ExecStartPre=\/bin\/sh -c "\(.*\)"$/\1/p' "$conf" |
  sed "s|/etc/rtslib-fb-target/saveconfig.json|$scratch/saved.json|")
before_restore() { # STATUS-OF-IS-ACTIVE
  ACTIVE=$1 PATH=$scratch/bin:$PATH sh -c "$command" 2>"$scratch/said"
}
not() {
  ! "$@"
}
check "there is a command" test -n "$command"
check "without a saved configuration it says nothing" before_restore 3
printf '{\n  "storage_objects": [\n    {\n      "plugin": "fileio",\n      "name": "user"\n    }\n  ]\n}\n' \
  >"$scratch/saved.json"
check "a configuration without user: is restored whatever runs" before_restore 3
printf '{\n  "storage_objects": [\n    {\n      "name": "a",\n      "plugin": "user",\n    }\n  ]\n}\n' \
  >"$scratch/saved.json"
check "one with user: is restored while tcmu-runner runs" before_restore 0
check "and is not while it does not" not before_restore 3
check "which is said" grep -q "tcmu-runner does not run" "$scratch/said"
exit $failed
