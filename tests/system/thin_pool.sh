#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: secondaries that promise no zeros and bring up old data beside what is written to them,
# a device-mapper thin volume of a pool with skip_block_zeroing: as a block device, and as a LUN of
# the kernel's target (iblock), which tells it as thin with LBPRZ=0, or not as thin at all.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly primary=/mnt/tmpfs/primary megabytes=64 chunk_sectors=128
readonly sectors=$((megabytes * 2048))

# Small extents with large gaps between them, so that most chunks are touched in part or not at all.
make_primary() {
  truncate -s 0 "$primary" && truncate -s "${megabytes}M" "$primary"
  local at
  for at in 0 3 100 101 517 900 4000 4097 8000 16383; do
    dd if=/dev/urandom of="$primary" bs=4096 count=1 seek="$at" conv=notrunc status=none
  done
}
change_primary() {
  dd if=/dev/urandom of="$primary" bs=4096 count=1 seek=12345 conv=notrunc status=none
  fallocate -p -o $((517 * 4096)) -l 4096 "$primary"
}

# A pool on storage that is full of old data.
pool_create() {
  truncate -s 8M /mnt/tmpfs/meta
  tr '\0' '\356' </dev/zero | head -c $((6 * megabytes << 20)) >/mnt/tmpfs/data
  meta=$(losetup -f --show /mnt/tmpfs/meta) && data=$(losetup -f --show /mnt/tmpfs/data) &&
    dmsetup create --noudevsync pool --table "0 $(blockdev --getsz "$data") thin-pool $meta $data \
$chunk_sectors 0 2 skip_block_zeroing no_discard_passdown" && dmsetup mknodes pool
}
volume_create() { # ID
  dmsetup message pool 0 "create_thin $1" &&
    dmsetup create --noudevsync "thin$1" --table "0 $sectors thin /dev/mapper/pool $1" &&
    dmsetup mknodes "thin$1"
}
iblock_create() { # NAME DEVICE EMULATE_TPU
  local place=$target/core/iblock_0/$1
  mkdir -p "$target/core/iblock_0" && mkdir "$place" &&
    echo -n "udev_path=$2" >"$place/control" && echo 1 >"$place/enable" &&
    { (($3 == 0)) || echo 1 >"$place/attrib/emulate_tpu"; }
}
mapped_chunks() { # ID
  dmsetup status "thin$1" | awk -v chunk=$chunk_sectors '{ print $4 / chunk }'
}
# The chunks that the primary's data touch.
needed_chunks() {
  for at in 0 3 100 101 517 900 4000 4097 8000 16383 12345; do
    echo $((at * 8 / chunk_sectors))
  done | sort -u | wc -l
}
same() { # ID
  sync && blockdev --flushbufs "/dev/mapper/thin$1" && cmp "$primary" "/dev/mapper/thin$1"
}

check_secondary() { # ID NAME
  local name=/dev/mapper/thin$1
  [[ $2 == /* ]] || name=$2
  make_primary
  check "the first sync" thinmirror sync --verify "$primary" "$name"
  check "nothing old shows" same "$1"
  check "what is not used is not allocated" test "$(mapped_chunks "$1")" -le "$(needed_chunks)"
  change_primary
  check "a sync again" thinmirror sync --overwrite --verify "$primary" "$name" # it may not say who it is
  check "nothing old shows" same "$1"
  check "what is not used is not allocated" test "$(mapped_chunks "$1")" -le "$(needed_chunks)"
  check "verify" thinmirror verify "$primary" "$name"
}

mkdir -p /mnt/tmpfs
mount -t tmpfs -o size=1g tmpfs /mnt/tmpfs
modprobe -a loop dm-mod dm-thin-pool target_core_iblock || bail_out "modules are missing"
start_stack
check "a pool with skip_block_zeroing" pool_create
for id in 1 2 3 4; do
  check "volume $id" volume_create "$id"
done

section "that it brings up old data is so"
dd if=/dev/urandom of=/dev/mapper/thin4 bs=4096 count=1 seek=2 oflag=direct status=none
check_equal "beside what was written" 356 \
  "$(dd if=/dev/mapper/thin4 bs=4096 skip=10 count=1 iflag=direct status=none | od -An -to1 -N1 | tr -d ' ')"

section "as a block device"
check_secondary 1 /dev/mapper/thin1

section "as a thin LUN without LBPRZ"
check "iblock" iblock_create two /dev/mapper/thin2 1
check "its target" target_create iqn.2026-01.lab.thinmirror:two two
url=iscsi://127.0.0.1/iqn.2026-01.lab.thinmirror:two/0
check_match "it is one" '"unmapped_reads_zeros": ?false' "$(thinmirror probe --json "$url")"
check_match "it is one" '"thin": ?true' "$(thinmirror probe --json "$url")"
check_secondary 2 "$url"

section "as a LUN that is not told as thin"
check "iblock" iblock_create three /dev/mapper/thin3 0
check "its target" target_create iqn.2026-01.lab.thinmirror:three three
url=iscsi://127.0.0.1/iqn.2026-01.lab.thinmirror:three/0
check_match "it is not" '"thin": ?false' "$(thinmirror probe --json "$url")"
make_primary
check "sync" thinmirror sync --verify "$primary" "$url"
check "nothing old shows" same 3
check "what is not used is not allocated" test "$(mapped_chunks 3)" -le "$(needed_chunks)"

stop_stack
finish_checks
