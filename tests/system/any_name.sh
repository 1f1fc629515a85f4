#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: LUNs that are named iscsi:// and are disks of this machine at the same time, by
# open-iscsi. A user of such a disk is seen, and so is the other side of the copy, whatever lies
# on the disk. Each attempt ends with exit status 3, and nothing has been written.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly base=iqn.2026-01.lab.thinmirror

url() { # NAME
  echo "iscsi://127.0.0.1/$base:$1/0"
}
make_lun() { # NAME
  thin_create "$1" "/mnt/tmpfs/$1" 32M 512 hw_max_sectors=2048 && target_create "$base:$1" "$1"
}
# What must not change; not a LUN whose file system is mounted.
watched=(/mnt/tmpfs/{primary,secondary})
sums() {
  sync
  md5sum "${watched[@]}"
}
check_refused() { # NAME REGEX PRIMARY SECONDARY
  local before option
  before=$(sums)
  for option in --dry-run --overwrite; do
    check_fails "$1, $option" 3 "$2" thinmirror sync --overwrite "$option" "$3" "$4"
  done
  check_equal "$1: nothing was written" "$before" "$(sums)"
}
# Another disk of the same machine that is the LUN of this one, by a session more.
second_path() { # DISK
  local session disk
  session=$(realpath "/sys/block/${1#/dev/}/device" | grep -o 'session[0-9]*')
  iscsiadm -m session -r "${session#session}" --op new >/dev/null || return 1
  other_disk "$1" >/dev/null || wait_for 20 other_disk "$1"
  other_disk "$1"
}
other_disk() { # DISK
  local disk
  for disk in /sys/block/sd*; do
    [[ /dev/${disk##*/} != "$1" ]] &&
      cmp -s "$disk/device/vpd_pg83" "/sys/block/${1#/dev/}/device/vpd_pg83" &&
      echo "/dev/${disk##*/}" && return
  done
  return 1
}
# Runs COMMAND while a program has the disk for itself, as none is seen to.
while_taken() { # DISK COMMAND...
  python3 - "$@" <<<'
import os, subprocess, sys
taken = os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL)
sys.exit(subprocess.call(sys.argv[2:]))'
}
make_ext4() { # DEVICE
  mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$1"
}
map_over() { # NAME TABLE: as /dev/mapper/NAME
  dmsetup create --noudevsync "$1" <<<"$2" && dmsetup mknodes "$1"
}
map_linear() { # DEVICE: as /dev/mapper/over
  map_over over "0 $(blockdev --getsz "$1") linear $1 0"
}
partition() { # DISK
  wipefs -q -a "$1" && sfdisk -q "$1" <<<$'start=2048,size=16384\nstart=20480,size=16384' &&
    wait_for 10 test -b "${1}2"
}

export MDADM_NO_UDEV=1
modprobe -a loop dm-mod dm-multipath dm-round-robin md-mod raid1 || bail_out "modules are missing"
mkdir -p /mnt/tmpfs /tmp/mnt
mount -t tmpfs -o size=1g tmpfs /mnt/tmpfs
start_stack
check "the primary" make_lun primary
check "the secondary" make_lun secondary
check "both are disks here, too: the primary" iscsi_login "$base:primary"
check "and the secondary" iscsi_login "$base:secondary"
primary=$(session_disk "$base:primary") secondary=$(session_disk "$base:secondary")
generic=/dev/$(ls "/sys/block/${secondary#/dev/}/device/scsi_generic")
dd if=/dev/urandom of="$primary" bs=1M count=2 oflag=direct status=none

section "a disk that is not in use"
check "is no obstacle" thinmirror sync --overwrite "$(url primary)" "$(url secondary)"
check "and the copy is exact" cmp /mnt/tmpfs/{primary,secondary}

section "a secondary that is used here by another name"
here="$(url secondary) is $secondary here, which"
make_ext4 "$secondary"
check "a file system on the disk" mount "$secondary" /tmp/mnt
check_refused "mounted" "$here is mounted on /tmp/mnt; it would be overwritten" \
  "$(url primary)" "$(url secondary)"
umount /tmp/mnt
check "partitions" partition "$secondary"
make_ext4 "${secondary}2"
check "a file system on one" mount "${secondary}2" /tmp/mnt
check_refused "a mounted partition" "$here is mounted on /tmp/mnt \\(partition ${secondary#/dev/}2\\)" \
  "$(url primary)" "$(url secondary)"
umount /tmp/mnt
mkswap -q "${secondary}1"
check "swap on one" swapon "${secondary}1"
check_refused "swap" "$here is used as swap" "$(url primary)" "$(url secondary)"
swapoff "${secondary}1"
check "a mapped device over it" map_linear "${secondary}1"
check_refused "held" "$here is held by dm-0 \\(over\\)" "$(url primary)" "$(url secondary)"
dmsetup remove --noudevsync over
check "an array on one" \
  mdadm --create /dev/md9 --run --level=1 --force --raid-devices=1 "${secondary}1"
check_refused "a member of an array" "$here is held by md9 \\(partition" \
  "$(url primary)" "$(url secondary)"
mdadm --quiet --stop /dev/md9
loop=$(losetup --find --show "${secondary}2")
check_refused "a loop device over one" "$here is in use as $loop" "$(url primary)" "$(url secondary)"
losetup --detach "$loop"
check_fails "held by a program that nothing else shows" 3 "$here is held by another program" \
  while_taken "$secondary" thinmirror sync --overwrite "$(url primary)" "$(url secondary)"
exec {fd}<"$secondary"
check "opened by somebody, who does not shut others out" \
  thinmirror sync --dry-run --overwrite "$(url primary)" "$(url secondary)"
exec {fd}<&-

section "the primary by another name"
same="lie on the same LUN, which is $primary here"
check "partitions" partition "$primary"
check_refused "a partition and the disk's LUN" "$same" "${primary}1" "$(url primary)"
check_refused "the other way round" "$same" "$(url primary)" "${primary}1"
check "partitions of one disk are two" \
  thinmirror sync --dry-run --overwrite "${primary}1" "${primary}2"
check "partitions of two disks, too" \
  thinmirror sync --dry-run --overwrite "${primary}1" "${secondary}1"
wipefs -q -a "$primary"
blockdev --rereadpt "$primary" 2>/dev/null
check "a mapped device over the disk" map_linear "$primary"
check_refused "a mapped device" "$same" "$(url primary)" /dev/mapper/over
check "to another LUN it may be copied" \
  thinmirror sync --dry-run --overwrite /dev/mapper/over "$(url secondary)"
dmsetup remove --noudevsync over
loop=$(losetup --find --show "$primary")
check_refused "a loop device" "$same" "$(url primary)" "$loop"
check_refused "as the primary" "$(url primary)" "$loop" "$(url primary)"
losetup --detach "$loop"

section "files on a file system on the primary"
make_ext4 "$primary"
check "it is mounted" mount "$primary" /tmp/mnt
truncate -s 32M /tmp/mnt/image /tmp/mnt/other
thinvol create --block-size=512 /tmp/mnt/volume 32M
watched=(/tmp/mnt/{image,volume} /mnt/tmpfs/secondary)
check_refused "a file" "$(url primary) and /tmp/mnt/image $same" "$(url primary)" /tmp/mnt/image
check_refused "a thin volume" "$(url primary) and thin:/tmp/mnt/volume $same" \
  "$(url primary)" thin:/tmp/mnt/volume
check_fails "that the primary is in use is said" 0 "$(url primary) is $primary here, which is mounted" \
  thinmirror sync --dry-run --overwrite --source-map=analyse "$(url primary)" "$(url secondary)"
check_fails "also when its target has the map" 0 \
  "is $primary here, which is mounted on /tmp/mnt and may change.*only a snapshot is exact" \
  thinmirror sync --dry-run --overwrite "$(url primary)" "$(url secondary)"
check_fails "and when the disk itself is named" 0 "$primary is mounted on /tmp/mnt and may change.*snapshot" \
  thinmirror sync --dry-run --overwrite "$primary" "$(url secondary)"
check "two files there are two" thinmirror sync --dry-run --overwrite /tmp/mnt/{image,other}
check "to another LUN a file may be copied" \
  thinmirror sync --dry-run --overwrite /tmp/mnt/image "$(url secondary)"
umount /tmp/mnt
watched=(/tmp/mnt/image)
check "btrfs, whose files have another device number" mkfs.btrfs -q -f -M "$primary"
check "it is mounted" mount "$primary" /tmp/mnt
truncate -s 32M /tmp/mnt/image
check_refused "a file on btrfs" "$same" "$(url primary)" /tmp/mnt/image
umount /tmp/mnt
watched=(/mnt/tmpfs/{primary,secondary})

section "a LUN by two paths"
same="lie on the same LUN, which is /dev/sd[a-z] here"
check "partitions" partition "$primary"
other=$(second_path "$primary")
check "the primary by another path" test -b "${other}1"
check_refused "a partition and the other disk" "${primary}1 and $other $same" "${primary}1" "$other"
check_refused "a partition by both paths" "${primary}1 and ${other}1 $same" "${primary}1" "${other}1"
check "partitions by different paths are two" \
  thinmirror sync --dry-run --overwrite "${primary}1" "${other}2"
check "multipath" map_over paths \
  "0 $(blockdev --getsz "$primary") multipath 0 0 1 1 round-robin 0 2 1 $primary 1 $other 1"
check_refused "a partition and all paths" "${primary}1 and /dev/mapper/paths $same" \
  "${primary}1" /dev/mapper/paths
check_refused "the LUN and all paths" "$(url primary) and /dev/mapper/paths $same" \
  "$(url primary)" /dev/mapper/paths
check "a volume over it" map_over one "0 16384 linear /dev/mapper/paths 2048"
check "and another" map_over two "0 16384 linear /dev/mapper/paths 20480"
check_refused "a partition and a volume" "$same" "${primary}1" /dev/mapper/one
check "volumes are two" thinmirror sync --dry-run --overwrite /dev/mapper/{one,two}
dmsetup remove --noudevsync one
dmsetup remove --noudevsync two
dmsetup remove --noudevsync paths
loop=$(losetup --find --show "$primary")
check "a mapped device over the disk" map_linear "$primary"
check_refused "a loop device and a mapped device" "$loop and /dev/mapper/over $same" \
  "$loop" /dev/mapper/over
dmsetup remove --noudevsync over
losetup --detach "$loop"
check "partitions of the secondary" partition "$secondary"
make_ext4 "${secondary}1"
other=$(second_path "$secondary")
check "the secondary by another path" test -b "${other}1"
check "a file system on one" mount "${secondary}1" /tmp/mnt
check_refused "mounted by the other path" "$other is $secondary here, which is mounted on /tmp/mnt" \
  "${primary}1" "$other"
check_refused "a partition that is mounted by the other path" \
  "${other}1 is ${secondary}1 here, which is mounted on /tmp/mnt" "${primary}1" "${other}1"
check "the next partition is free" \
  thinmirror sync --dry-run --overwrite "${primary}1" "${other}2"
umount /tmp/mnt
check "then the first one is, too" thinmirror sync --overwrite "${primary}1" "${other}1"

section "read-only"
blockdev --setro "$secondary"
for node in "$secondary" "$generic"; do
  check_refused "a disk that the kernel holds read-only, $node" \
    "$node: the kernel holds it read-only" "$(url primary)" "$node"
done
blockdev --setrw "$secondary"
loop=$(losetup --read-only --find --show "$secondary")
check_refused "a loop device" "$loop: the kernel holds it read-only" "$(url primary)" "$loop"
losetup --detach "$loop"
blockdev --setro "${secondary}2"
check_refused "a partition" "${secondary}2: the kernel holds it read-only" \
  "${primary}1" "${secondary}2"
blockdev --setrw "${secondary}2"
check "then it can be had" thinmirror sync --overwrite "$(url primary)" "$secondary"
finish_checks
