#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The mirror on device nodes of this machine: SG_IO to /dev/sdX and /dev/sgN. The disks are those of
# scsi_debug, a target that answers GET LBA STATUS with one descriptor at a time.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

# Two disks of separate memory.
new_disks() { # OPTION...
  modprobe -r scsi_debug 2>/dev/null
  modprobe scsi_debug dev_size_mb=32 add_host=2 per_host_store=1 delay=0 "$@" ||
    bail_out "scsi_debug does not load"
  wait_for 20 two_disks || bail_out "the disks do not come up"
  mapfile -t disks < <(disk_names)
  a=/dev/${disks[0]} b=/dev/${disks[1]}
  a_sg=/dev/$(ls "/sys/block/${disks[0]}/device/scsi_generic")
  b_sg=/dev/$(ls "/sys/block/${disks[1]}/device/scsi_generic")
}
disk_names() {
  grep -lw scsi_debug /sys/block/sd*/device/model | cut -d / -f 4
}
two_disks() {
  (($(disk_names | wc -l) == 2)) && [[ -b /dev/$(disk_names | head -n 1) ]] &&
    [[ -b /dev/$(disk_names | tail -n 1) ]]
}
probe() { # FIELD NAME
  thinmirror probe --json "$2" | jq -r "$1"
}
moved() { # read|written DISK: sectors by the block layer, which SG_IO goes past
  awk -v field="$([[ $1 == read ]] && echo 3 || echo 7)" '{ print $field }' "/sys/block/${2#/dev/}/stat"
}
begin_sync() { # OPTION... PRIMARY SECONDARY
  thinmirror sync --json --progress=none --checkpoint=0.2 --overwrite "$@" >/run/sync.json 2>/run/sync.err &
  sync_pid=$!
}
check_end() { # NAME STATUS
  local status=0
  wait "$sync_pid" || status=$?
  check_equal "$1" "$2" "$status"
  ((status == $2)) || sed 's/^/#   /' /run/sync.err
}
fill() { # DISK: 1 MiB at 4 MiB, 64 KiB at 20 MiB
  dd if=/dev/urandom of="$1" bs=64K count=16 seek=64 oflag=direct status=none
  dd if=/dev/urandom of="$1" bs=64K count=1 seek=320 oflag=direct status=none
}

start_kernel_target

section "thin disks"
new_disks lbpu=1 lbpws=1 lbprz=1 unmap_granularity=8
thinmirror probe --json "$a" | sed 's/^/# /'
thinmirror probe --json "$b_sg" | sed 's/^/# /'
check_equal "a disk says who it is, by either node" "$(probe .primary_identity "$a")" "$(probe .primary_identity "$a_sg")"
fill "$a"
check_equal "the map by /dev/sdX" "2176" \
  "$(thinmirror map --json "$a" | jq '[.extents[] | select(.status == "mapped") | .blocks] | add')"
check_equal "the map by /dev/sgN" "2176" \
  "$(thinmirror map --json "$a_sg" | jq '[.extents[] | select(.status == "mapped") | .blocks] | add')"
check_equal "/dev/sdX moves data by io_uring, /dev/sgN by SG_IO" "io_uring SG_IO" \
  "$(probe .data_by "$a") $(probe .data_by "$a_sg")"
read_before=$(moved read "$a") written_before=$(moved written "$b")
check "sync /dev/sdX to /dev/sdY" thinmirror sync "$a" "$b"
check_equal "what was mapped went by the block layer, and no more" "2176 2176" \
  "$(($(moved read "$a") - read_before)) $(($(moved written "$b") - written_before))"
check "they are the same" cmp "$a" "$b"
check_equal "only what was mapped is mapped" "2176" \
  "$(thinmirror map --json "$b" | jq '[.extents[] | select(.status == "mapped") | .blocks] | add')"
dd if=/dev/urandom of="$b" bs=1M count=2 seek=10 oflag=direct status=none
check "sync /dev/sgN to /dev/sgM, over other data" thinmirror sync --overwrite "$a_sg" "$b_sg"
check "they are the same again" cmp "$a" "$b"
check_equal "and as thin" "2176" \
  "$(thinmirror map --json "$b" | jq '[.extents[] | select(.status == "mapped") | .blocks] | add')"
check "verify" thinmirror verify "$a" "$b_sg"

section "what the kernel keeps to itself"
dd if=/dev/urandom of="$a" bs=1M count=24 oflag=direct status=none
begin_sync --rate=8M "$a" "$b"
sleep 1
check "the secondary is reset under a copy" sg_reset -d "$b_sg"
check_end "the copy goes on" 0
check_match "and writes again what may be lost" '"rollbacks": *[1-9]' "$(</run/sync.json)"
check "it is exact" cmp "$a" "$b"
dd if=/dev/zero of="$b" bs=1M count=24 oflag=direct status=none
begin_sync --rate=8M "$a" "$b"
sleep 1
echo 1 >/sys/bus/pseudo/drivers/scsi_debug/virtual_gb
check_end "units that change their size under a copy end it" 1
check_match "which is said" "its capacity has changed" "$(</run/sync.err)"
echo 0 >/sys/bus/pseudo/drivers/scsi_debug/virtual_gb
new_disks lbpu=1 lbpws=1 lbprz=1 unmap_granularity=8
fill "$a"

section "what is in use is refused"
check_fails "one disk by two nodes" 3 "are the same" thinmirror sync --overwrite "$a" "$a_sg"
mkdir -p /tmp/mnt
check "a file system on the whole disk" mkfs.ext4 -q -F "$b"
check "mounts" mount "$b" /tmp/mnt
check_fails "a mounted disk" 3 "mounted on /tmp/mnt" thinmirror sync --overwrite "$a" "$b"
check_fails "a mounted disk by its other node" 3 "mounted on /tmp/mnt" \
  thinmirror sync --overwrite "$a" "$b_sg"
check "a mounted disk may be read" thinmirror probe "$b"
umount /tmp/mnt
check "a partition table" sfdisk -q "$b" <<<'start=2048'
check "its partition shows up" wait_for 10 test -b "${b}1"
check "a file system in the partition" mkfs.ext4 -q -F "${b}1"
check "mounts too" mount "${b}1" /tmp/mnt
check_fails "a disk with a mounted partition" 3 "mounted on /tmp/mnt \\(partition" \
  thinmirror sync --overwrite "$a" "$b"
umount /tmp/mnt

section "targets that can less"
new_disks lbpu=1 lbpws=0 lbprz=1 unmap_granularity=64
fill "$a"
dd if=/dev/urandom of="$b" bs=1M count=32 oflag=direct status=none
check "sync with UNMAP only" thinmirror sync --overwrite "$a" "$b"
check "they are the same" cmp "$a" "$b"
new_disks lbpu=1 lbpws=1 lbprz=0
fill "$a"
dd if=/dev/urandom of="$b" bs=1M count=32 oflag=direct status=none
check "sync to a disk without LBPRZ" thinmirror sync --overwrite "$a" "$b"
check "they are the same" cmp "$a" "$b"
new_disks
fill "$a"
dd if=/dev/urandom of="$b" bs=1M count=32 oflag=direct status=none
check "sync between full disks" thinmirror sync --overwrite "$a" "$b"
check "they are the same" cmp "$a" "$b"
new_disks lbpu=1 lbpws=1 lbprz=1 sector_size=4096
fill "$a"
check "sync with blocks of 4096 bytes" thinmirror sync "$a" "$b_sg"
check "they are the same" cmp "$a" "$b"
finish_checks
