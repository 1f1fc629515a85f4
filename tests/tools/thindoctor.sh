#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What thindoctor prints and how it exits, on any machine, whatever is missing there.
# usage: thindoctor.sh THINDOCTOR
set -euo pipefail

thindoctor=$1
failed=0
check() { # NAME COMMAND...: passes when the command succeeds
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
json_says() { # FILE JQ-CONDITION
  jq -e "$2" "$1" >"$scratch/jq"
}
status_of() {
  local status=0
  "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
  echo "$status"
}

status=$(status_of "$thindoctor")
cp "$scratch/out" "$scratch/lines"
missing=$(grep -c '^MISSING ' "$scratch/lines" || true)
check "the exit status is 0 when nothing is missing and 1 otherwise" \
  test "$status" = $((missing > 0 ? 1 : 0))
check "each line is a state and a name in columns, or a command that mends" \
  awk '/^(ok|MISSING|optional) / { if (substr($0, 10, 2) !~ /^ [^ ]/) exit 1; next }
    /^ +-> [^ ]/ { next }
    /^This machine can|^[0-9]+ missing/ { last++; next }
    { exit 1 }
    END { if (last != 1) exit 1 }' "$scratch/lines"
check "every missing thing, or row of things that lack the same, is followed by its command" \
  awk '/^ +-> / { if (!wants || $0 == told) exit 1; wants = 0; told = $0; next }
    { lacks = /^(MISSING|optional) /; if (wants && !lacks) exit 1; wants = lacks }
    !lacks { told = "" }' "$scratch/lines"
for name in target_core_user uio iscsi_target_mod tcm_loop iscsi_tcp sd_mod sg \
  "netlink TCM-USER" configfs tcmu-runner "handler user:thin" targetcli open-iscsi tgt reservations; do
  check "it looks at $name" grep -qE "^[^ ]+ +$name( |$)" "$scratch/lines"
done

status_json=$(status_of "$thindoctor" --json)
cp "$scratch/out" "$scratch/json"
check "--json exits as the lines do" test "$status_json" = "$status"
check "--json counts the same things missing" \
  test "$(jq '[.checks[] | select(.ok or .for == "optional" | not)] | length' "$scratch/json")" = \
  "$missing"
check "--json gives each missing thing its command" \
  json_says "$scratch/json" 'all(.checks[]; .ok or (.mend | length > 0))'
check "--json says what the machine can do" \
  json_says "$scratch/json" '(.can_serve == all(.checks[] | select(.for == "serve"); .ok)) and
    (.can_mirror == all(.checks[] | select(.for == "mirror"); .ok))'

full_out() {
  ! "$thindoctor" --help >/dev/full 2>"$scratch/err" && grep -q "cannot write" "$scratch/err"
}
check "an answer that cannot be printed is no answer" full_out
check "--help exits 0" test "$(status_of "$thindoctor" --help)" = 0
check "--help explains PATH" grep -q PATH "$scratch/out"
check "an unknown option exits 2" test "$(status_of "$thindoctor" --jsson)" = 2
check "two paths exit 2" test "$(status_of "$thindoctor" / /)" = 2

path_ok() { # JQ-CONDITION PATH
  "$thindoctor" --json "$2" >"$scratch/path" 2>"$scratch/err" || true
  json_says "$scratch/path" \
    "[.checks[] | select(.name == \"hole punching\")] | length == 1 and (.[0] | $1)"
}
check "a directory that punches holes is fine" path_ok '.ok' "$scratch"
check "so is a file to be made in it" path_ok '.ok' "$scratch/new-volume"
check "nothing is left in it" test -z "$(find "$scratch" -name '.thindoctor*')"
check "a directory that is not there is missing" path_ok '.ok | not' "$scratch/no/where"
if [[ -w /dev/shm && $(stat -f -c %T /dev/shm) == tmpfs ]]; then
  check "tmpfs is fine" path_ok '.ok' /dev/shm
else
  echo "ok - tmpfs is fine # SKIP /dev/shm is no tmpfs"
fi

# ramfs cannot punch holes, and needs no module and no disk.
mkdir "$scratch/ramfs"
if unshare -rm mount -t ramfs none "$scratch/ramfs" 2>"$scratch/err"; then
  # shellcheck disable=SC2016 # expands in the inner shell
  unshare -rm sh -c 'mount -t ramfs none "$2" && "$1" "$2"' \
    sh "$thindoctor" "$scratch/ramfs" >"$scratch/path" 2>"$scratch/err" || true
  check "a file system that cannot punch holes is named" \
    grep -qE "^MISSING +hole punching +$scratch/ramfs is on a file system" "$scratch/path"
else
  echo "ok - a file system that cannot punch holes is named # SKIP no mounts in a namespace here"
fi
exit $failed
