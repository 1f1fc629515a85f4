#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: thinmirror between two LUNs of the handler on the real kernel target, over libiscsi
# and over /dev/sdX, with both block sizes, and the checks that keep it from the wrong LUN.
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly base=iqn.2026-01.lab.thinmirror
readonly lun_bytes=$((512 << 20))

make_lun() { # NAME BLOCK_SIZE
  thin_create "$1" "/mnt/xfs/$1" "$lun_bytes" "$2" hw_max_sectors=2048 && target_create "$base:$1" "$1"
}

url() { # NAME
  echo "iscsi://127.0.0.1/$base:$1/0"
}

# Some scattered data, a large piece, and a piece that is unmapped again.
fill() { # DISK
  local at
  for at in 0 3 17 64 65 200 511; do
    dd if=/dev/urandom of="$1" bs=1M count=1 seek="$at" oflag=direct status=none || return 1
  done
  dd if=/dev/urandom of="$1" bs=1M count=12 seek=100 oflag=direct status=none &&
    blkdiscard -o 104M -l 4M "$1"
}

json() { # FIELD, with the object on standard input
  jq -r ".$1"
}

check_copy() { # NAME PRIMARY SECONDARY PRIMARY_VOLUME SECONDARY_VOLUME
  local result status
  result=$(thinmirror sync --json --progress=none --overwrite "$2" "$3" 2>/run/sync.err)
  status=$?
  check_equal "$1: sync" 0 "$status"
  ((status == 0)) || sed 's/^/#   /' /run/sync.err
  check_equal "$1: the map came from GET LBA STATUS" lba-status "$(json source_map <<<"$result")"
  check_equal "$1: mapped bytes are what the primary's volume holds" "$(allocated_mib "$4")" \
    "$(($(json mapped_bytes <<<"$result") >> 20))"
  check_equal "$1: only what is mapped was read" "$(json mapped_bytes <<<"$result")" \
    "$(json read_bytes <<<"$result")"
  check "$1: verify" thinmirror verify "$2" "$3"
  check "$1: the volumes hold the same bytes" cmp "$4" "$5"
  check_equal "$1: the secondary takes no more storage than the primary" "$(allocated_mib "$4")" \
    "$(allocated_mib "$5")"
}

allocated_mib() { # FILE
  sync "$1"
  echo $(($(allocated_bytes "$1") >> 20))
}

mkdir -p /mnt/{xfs,lun}
mkfs.xfs -q -K "${LAB_DISKS% *}" && mount "${LAB_DISKS% *}" /mnt/xfs
start_stack
for block_size in 512 4096; do
  section "blocks of $block_size bytes"
  check "$block_size: primary" make_lun "p$block_size" "$block_size"
  check "$block_size: secondary" make_lun "s$block_size" "$block_size"
  primary=$(iscsi_login "$base:p$block_size") || bail_out "no disk"
  check "$block_size: data on the primary" fill "$primary"
  check_copy "$block_size, iSCSI to iSCSI" "$(url "p$block_size")" "$(url "s$block_size")" \
    "/mnt/xfs/p$block_size" "/mnt/xfs/s$block_size"
  secondary=$(iscsi_login "$base:s$block_size") || bail_out "no disk"
  check "$block_size: garbage all over the start of the secondary" \
    dd if=/dev/urandom of="$secondary" bs=1M count=8 oflag=direct
  check_fails "$block_size: verify finds the garbage" 4 . \
    thinmirror verify "$primary" "$(url "s$block_size")"
  check_equal "$block_size: the bitmap tells the same map as GET LBA STATUS" \
    "$(thinmirror map --json "$primary" | jq .extents || echo 'no map')" \
    "$(thinmirror map --source-map=bitmap --json "$(url "p$block_size")" | jq .extents || echo 'no bitmap')"
  check_copy "$block_size, /dev/sdX to /dev/sdX" "$primary" "$secondary" \
    "/mnt/xfs/p$block_size" "/mnt/xfs/s$block_size"
done

section "refused"
check_fails "the same LUN by two ways" 3 . thinmirror sync "$(url s4096)" "$secondary"
check_fails "another block size" 3 4096 thinmirror sync "$(url p512)" "$(url s4096)"
check_fails "a secondary that holds data of its own" 3 overwrite thinmirror sync "$(url s4096)" "$(url p4096)"
mkfs.ext4 -q "$secondary"
mount "$secondary" /mnt/lun
check_fails "a secondary that is mounted" 3 mount thinmirror sync --overwrite "$primary" "$secondary"
umount /mnt/lun
finish_checks
