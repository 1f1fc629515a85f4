#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: tcmu-runner is killed under I/O and started again. No request fails, no byte is lost,
# and the LUN is still the same one.
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly iqn=iqn.2026-01.lab.thinmirror:crash
readonly volume=/mnt/ext4/crash

fio_verify() { # DISK ARG...
  local disk=$1
  shift
  fio --name=crash --filename="$disk" --ioengine=libaio --iodepth=16 --direct=1 --rw=randwrite \
    --bs=4k --size=32M --verify=crc32c --verify_fatal=1 --randseed=7 --output-format=terse \
    --terse-version=3 "$@"
}

identity() { # DISK
  sg_vpd --page=di --quiet "$1"
  sg_vpd --page=sn "$1"
}

discards() { # DISK, until the file /run/stop is there
  while [[ ! -e /run/stop ]]; do
    blkdiscard -o 128M -l 32M "$1"
    dd if=/dev/urandom of="$1" bs=1M seek=128 count=4 oflag=direct status=none
  done
}

mkdir -p /mnt/ext4
mkfs.ext4 -q -E nodiscard,lazy_itable_init=1 "${LAB_DISKS% *}" && mount "${LAB_DISKS% *}" /mnt/ext4
start_stack
check "a LUN of 256 MiB" thin_create crash "$volume" $((256 << 20)) 512
check "its target" target_create "$iqn" crash
disk=$(iscsi_login "$iqn") || bail_out "the LUN does not appear"
before=$(identity "$disk")

for round in 1 2; do
  section "round $round"
  rm -f /run/stop
  discards "$disk" >/run/discards.log 2>&1 &
  discarder=$!
  fio_verify "$disk" >/run/fio.log 2>&1 &
  fio=$!
  writes=$(awk '{ print $5 }' "/sys/block/${disk#/dev/}/stat")
  busy() {
    (($(awk '{ print $5 }' "/sys/block/${disk#/dev/}/stat") > writes + 1000))
  }
  check "round $round: fio writes" wait_for 60 busy
  check "round $round: fio is still at work when tcmu-runner is killed" kill -0 "$fio"
  check "round $round: kill -9 ends tcmu-runner" end_runner KILL
  check "round $round: tcmu-runner starts again" start_runner
  wait "$fio"
  check_equal "round $round: fio finds every block it wrote, and no error" 0 $?
  touch /run/stop
  wait "$discarder"
  check_equal "round $round: no UNMAP failed" "" "$(cat /run/discards.log)"
  check_equal "round $round: it is the same LUN as before" "$before" "$(identity "$disk")"
done

section "exported anew"
check "log out" iscsi_logout "$iqn"
check "the target goes away" target_remove "$iqn"
check "the backstore goes away" backstore_remove crash
check "tcmu-runner stops" end_runner TERM
check "the volume is in order" thinvol check "$volume"
check "tcmu-runner starts" start_runner
check "the same volume again" thin_create crash "$volume"
check "its target" target_create "$iqn" crash
disk=$(iscsi_login "$iqn") || bail_out "the LUN does not appear"
check_equal "identity survives an export anew" "$before" "$(identity "$disk")"
check "all of fio's data is still there" fio_verify "$disk" --verify_only
finish_checks
