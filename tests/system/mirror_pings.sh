#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: a copy to the kernel's target that lasts longer than the time after which that target
# pings (NOP-In). libiscsi ends the session when a ping comes while data waits to be sent, so the
# line is slow and the pings come every 3 s: the copy has to go on with new sessions, and be whole.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly iqn=iqn.2026-01.lab.thinmirror:slow
readonly group=$target/iscsi/$iqn/tpgt_1
export THINMIRROR_INITIATOR=iqn.2026-01.lab.thinmirror:patient

# The time between pings belongs to an initiator's own entry in the access list.
ping_often() {
  local acl=$group/acls/$THINMIRROR_INITIATOR
  mkdir "$acl" && mkdir "$acl/lun_0" && ln -s "$group/lun/lun_0" "$acl/lun_0/" &&
    echo 3 >"$acl/attrib/nopin_timeout"
}

fill() { # FILE
  dd if=/dev/urandom of=/mnt/tmpfs/piece bs=1M count=16 status=none || return 1
  for _ in {1..10}; do
    cat /mnt/tmpfs/piece
  done >"$1"
}

mkdir -p /mnt/tmpfs
mount -t tmpfs -o size=1g tmpfs /mnt/tmpfs
start_stack
check "160 MiB of data" fill /mnt/tmpfs/primary
check "the secondary" thin_create slow /mnt/tmpfs/slow 160M 512 hw_max_sectors=2048
check "its target" target_create "$iqn" slow
check "which pings every 3 s" ping_often
check "a slow line" tc qdisc add dev lo root tbf rate 80mbit burst 256kb latency 500ms

section "copying"
result=$(thinmirror sync --json --progress=none /mnt/tmpfs/primary "iscsi://127.0.0.1/$iqn/0" \
  2>/run/sync.err)
check_equal "the copy succeeds" 0 "$?"
sed 's/^/#   /' /run/sync.err
section "copied"
tc qdisc del dev lo root
echo "# $(jq -r '"\(.reconnects) sessions replaced in \(.seconds) s"' <<<"$result")"
if (($(jq -r .reconnects <<<"$result") > 0)); then
  ok "a session was replaced on the way"
else
  not_ok "a session was replaced on the way" "$result"
fi
check_equal "all of it was written" $((160 << 20)) "$(jq -r .written_bytes <<<"$result")"
sync /mnt/tmpfs/slow
check "the volume holds the same bytes" cmp /mnt/tmpfs/primary /mnt/tmpfs/slow
finish_checks
