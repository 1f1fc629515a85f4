#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: LUNs that are named iscsi:// and are disks of this machine at the same time, by
# open-iscsi. Whoever uses such a disk is seen, and so is the other side of the copy, whatever lies
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
sum_of() { # NAME
  sync
  md5sum <"/mnt/tmpfs/$1"
}
check_refused() { # NAME REGEX PRIMARY SECONDARY
  local before option
  before=$(sum_of primary)$(sum_of secondary)
  for option in --dry-run --overwrite; do
    check_fails "$1, $option" 3 "$2" thinmirror sync --overwrite "$option" "$3" "$4"
  done
  check_equal "$1: nothing was written" "$before" "$(sum_of primary)$(sum_of secondary)"
}
make_ext4() { # DEVICE
  mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$1"
}
map_linear() { # DEVICE: as /dev/mapper/over
  echo "0 $(blockdev --getsz "$1") linear $1 0" | dmsetup create --noudevsync over &&
    dmsetup mknodes over
}
partition() { # DISK
  wipefs -q -a "$1" && sfdisk -q "$1" <<<$'start=2048,size=16384\nstart=20480,size=16384' &&
    wait_for 10 test -b "${1}2"
}

modprobe -a loop dm-mod || bail_out "modules are missing"
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

section "a disk that nobody uses"
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
check "then it can be had" thinmirror sync --overwrite "$(url primary)" "$secondary"
finish_checks
