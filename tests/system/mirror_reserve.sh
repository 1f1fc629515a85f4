#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: sync --reserve on the kernel's target, which keeps the reservations of its LUNs itself,
# over libiscsi and by the device node, and the reservations of other initiators.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly iqn=iqn.2026-01.lab.thinmirror:reserve
readonly url=iscsi://127.0.0.1/$iqn/0
readonly volume=/mnt/tmpfs/secondary primary=/mnt/tmpfs/primary
reserve_lun=$LAB_BUILD/tests/bin/reserve_lun
export THINMIRROR_INITIATOR=iqn.2026-01.lab.thinmirror:mirror
# What follows is run as on another machine.
# shellcheck disable=SC2016 # expands in the inner shell
readonly elsewhere=(env THINMIRROR_INITIATOR=iqn.2026-01.lab.thinmirror:other XDG_STATE_HOME=/run/other
  unshare --uts sh -c 'hostname other && exec "$@"' sh)

# "TYPE KEYS" of the LUN; TYPE is none without a reservation.
shown() {
  "$reserve_lun" "$url" show | awk '
    BEGIN { type = "none" }
    $1 == "held" { type = $4 }
    $1 == "key" { keys++ }
    END { print type, keys + 0 }'
}
is_shown() { # TEXT
  [[ $(shown) == "$1" ]]
}
begin_sync() { # OPTION... SECONDARY
  thinmirror sync --reserve --overwrite --progress=none --rate=3M --checkpoint=0.2 "${@:1:$#-1}" \
    "$primary" "${*: -1}" >/dev/null 2>/run/sync.err &
  sync_pid=$!
}
check_end() { # NAME STATUS
  local status=0
  wait "$sync_pid" || status=$?
  check_equal "$1" "$2" "$status"
  ((status == $2)) || sed 's/^/#   /' /run/sync.err
}
same() {
  sync "$volume"
  cmp "$primary" "$volume"
}
# The target ends all sessions when it is disabled; its reservations stay.
cut_sessions() {
  echo 0 >"$target/iscsi/$iqn/tpgt_1/enable" && sleep 0.5 && echo 1 >"$target/iscsi/$iqn/tpgt_1/enable"
}

mkdir -p /mnt/tmpfs
mount -t tmpfs -o size=1g tmpfs /mnt/tmpfs
dd if=/dev/urandom of="$primary" bs=1M count=12 status=none
start_stack
# Where the kernel writes its reservations down; without that folder it grants none.
mkdir -p "$(<"$target/dbroot")/pr"
check "the secondary" thin_create secondary "$volume" 12M 512 hw_max_sectors=2048
check "its target" target_create "$iqn" secondary

section "without a place to note it"
rmdir "$(<"$target/dbroot")/pr"
check_fails "the kernel refuses, and that is explained" 3 "run there: mkdir -p .*dbroot" \
  thinmirror sync --reserve "$primary" "$url"
mkdir "$(<"$target/dbroot")/pr"
check_equal "nothing is left" "none 0" "$(shown)"

section "over libiscsi"
begin_sync --sessions=2 "$url"
check "reserved during the copy" wait_for 20 is_shown "1 1"
kill -KILL "$sync_pid"
wait "$sync_pid" 2>/dev/null
check_equal "a killed sync leaves it" "1 1" "$(shown)"
check_fails "which is refused without --resume" 3 "another sync --reserve" \
  thinmirror sync --reserve "$primary" "$url"
check_fails "another machine is shut out" 3 "another initiator has reserved" \
  "${elsewhere[@]}" thinmirror sync --overwrite "$primary" "$url"
check_fails "and does not take it over" 3 "another sync --reserve" \
  "${elsewhere[@]}" thinmirror sync --resume --overwrite --reserve "$primary" "$url"
check "and taken over with it" thinmirror sync --resume --reserve "$primary" "$url"
check_equal "nothing is left" "none 0" "$(shown)"
check "the copy is exact" same

section "a lost connection"
begin_sync "$url"
check "reserved during the copy" wait_for 20 is_shown "1 1"
check "the sessions are ended" cut_sessions
check_end "the copy goes on" 0
check_match "after a new login" "connected again" "$(</run/sync.err)"
check_equal "nothing is left" "none 0" "$(shown)"
check "the copy is exact" same

section "by the device node"
disk=$(iscsi_login "$iqn") || bail_out "no disk"
begin_sync "$disk"
check "reserved during the copy" wait_for 20 is_shown "1 1"
check_end "the copy goes on" 0
check_equal "nothing is left" "none 0" "$(shown)"
check "the copy is exact" same
begin_sync "$disk"
check "reserved once more" wait_for 20 is_shown "1 1"
kill -INT "$sync_pid"
check_end "an interrupt ends it" 5
check_equal "and gives it back" "none 0" "$(shown)"
THINMIRROR_INITIATOR=iqn.2026-01.lab.thinmirror:other "$reserve_lun" "$url" ABC 1 \
  < <(sleep 600) >/run/held &
holder=$!
check "another initiator reserves it" wait_for 10 grep -q held /run/held
check_fails "that is refused with --reserve" 3 "0000000000000abc, write exclusive" \
  thinmirror sync --resume --reserve "$primary" "$disk"
check_fails "and without" 3 "another initiator has reserved" thinmirror sync --resume "$primary" "$disk"
kill "$holder"
finish_checks
