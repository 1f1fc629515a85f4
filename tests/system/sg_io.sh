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
fill() { # DISK: 1 MiB at 4 MiB, 64 KiB at 20 MiB
  dd if=/dev/urandom of="$1" bs=64K count=16 seek=64 oflag=direct status=none
  dd if=/dev/urandom of="$1" bs=64K count=1 seek=320 oflag=direct status=none
}

start_kernel_target

section "thin disks"
new_disks lbpu=1 lbpws=1 lbprz=1 unmap_granularity=8
thinmirror probe --json "$a" | sed 's/^/# /'
thinmirror probe --json "$b_sg" | sed 's/^/# /'
check_equal "a disk says who it is, by either node" "$(probe .identity "$a")" "$(probe .identity "$a_sg")"
fill "$a"
check_equal "the map by /dev/sdX" "2176" \
  "$(thinmirror map --json "$a" | jq '[.[] | select(.status == "mapped") | .blocks] | add')"
check_equal "the map by /dev/sgN" "2176" \
  "$(thinmirror map --json "$a_sg" | jq '[.[] | select(.status == "mapped") | .blocks] | add')"
check "sync /dev/sdX to /dev/sdY" thinmirror sync "$a" "$b"
check "they are the same" cmp "$a" "$b"
check_equal "only what was mapped is mapped" "2176" \
  "$(thinmirror map --json "$b" | jq '[.[] | select(.status == "mapped") | .blocks] | add')"
dd if=/dev/urandom of="$b" bs=1M count=2 seek=10 oflag=direct status=none
check "sync /dev/sgN to /dev/sgM, over other data" thinmirror sync --overwrite "$a_sg" "$b_sg"
check "they are the same again" cmp "$a" "$b"
check_equal "and as thin" "2176" \
  "$(thinmirror map --json "$b" | jq '[.[] | select(.status == "mapped") | .blocks] | add')"
check "verify" thinmirror verify "$a" "$b_sg"

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
