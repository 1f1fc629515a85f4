#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: a disk that somebody uses, in any of the ways Linux has, is no secondary. Each attempt
# ends with exit status 3 and a sentence that names the user, by the block device and by the generic
# node, and nothing has been written. The disks are those of scsi_debug.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

disk_names() {
  grep -lw scsi_debug /sys/block/sd*/device/model | cut -d / -f 4
}
two_disks() {
  (($(disk_names | wc -l) == 2))
}

sum_of() { # DISK
  sync
  dd if="$1" bs=1M iflag=direct status=none | md5sum
}

# Every way to $disk, and OTHER-NODE... that lies on it.
check_refused() { # NAME REGEX [OTHER-NODE...]
  local node before
  before=$(sum_of "$disk")
  for node in "$disk" "$generic" "${@:3}"; do
    check_fails "$1, by $node" 3 "^thinmirror: $node $2" \
      thinmirror sync --overwrite "$primary" "$node"
  done
  check_equal "$1: nothing was written" "$before" "$(sum_of "$disk")"
}

# Whatever was there before is forgotten.
partition() {
  wipefs -q -a "$disk" && sfdisk -q "$disk" <<<'start=2048' && wait_for 10 test -b "${disk}1"
}
no_partition() {
  wipefs -q -a "${disk}1" "$disk"
  sfdisk -q --delete "$disk" 2>/dev/null
  blockdev --rereadpt "$disk" &>/dev/null
}
make_ext4() { # DEVICE
  mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$1"
}
linear() { # DEVICE: as /dev/mapper/held
  echo "0 $(blockdev --getsz "$1") linear $1 0" | dmsetup create --noudevsync held &&
    dmsetup mknodes held
}

modprobe -a sd_mod sg loop dm-mod md-mod raid1 || bail_out "modules are missing"
modprobe scsi_debug dev_size_mb=24 add_host=2 per_host_store=1 delay=0 lbpu=1 lbpws=1 lbprz=1 ||
  bail_out "scsi_debug does not load"
wait_for 20 two_disks || bail_out "the disks do not come up"
mapfile -t disks < <(disk_names)
primary=/dev/${disks[0]} disk=/dev/${disks[1]}
generic=/dev/$(ls "/sys/block/${disks[1]}/device/scsi_generic")
mkdir -p /tmp/mnt
dd if=/dev/urandom of="$primary" bs=1M count=2 oflag=direct status=none

section "mounted"
make_ext4 "$disk"
check "a disk is mounted" mount "$disk" /tmp/mnt
check_refused "a mounted disk" "is mounted on /tmp/mnt; it would be overwritten"
umount /tmp/mnt
check "btrfs, whose mounts have another device number" mkfs.btrfs -q -f -M "$disk"
check "it is mounted" mount "$disk" /tmp/mnt
check_refused "a mounted btrfs" "is mounted on /tmp/mnt;"
umount /tmp/mnt
check "a partition" partition
make_ext4 "${disk}1"
check "it is mounted" mount "${disk}1" /tmp/mnt
check_refused "a mounted partition" "is mounted on /tmp/mnt" "${disk}1"
check_fails "the partition that is mounted is named" 3 "\\(partition ${disk#/dev/}1\\)" \
  thinmirror sync --overwrite "$primary" "$disk"
umount /tmp/mnt

section "swap"
mkswap -q "${disk}1"
check "a partition to swap to" swapon "${disk}1"
check_refused "swap on a partition" "is used as swap" "${disk}1"
swapoff "${disk}1"

section "device-mapper"
check "a linear device over a partition" linear "${disk}1"
check_refused "a partition that is held" "is held by dm-0 \\(held\\)" "${disk}1"
make_ext4 /dev/mapper/held
check "a file system on it is mounted" mount /dev/mapper/held /tmp/mnt
check_refused "a partition that is held for a file system" \
  "is held by dm-0 \\(held\\), which is mounted on /tmp/mnt" "${disk}1"
check_fails "nor is the device-mapper's own device free" 3 "mounted on /tmp/mnt" \
  thinmirror sync --overwrite "$primary" /dev/mapper/held
umount /tmp/mnt
dmsetup remove --noudevsync held
check "a linear device over the disk" linear "$disk"
check_refused "a disk that is held" "is held by dm-0 \\(held\\)"
check_fails "nor is its partition free" 3 "is held by dm-0 \\(held\\) \\(the whole disk\\)" \
  thinmirror sync --overwrite "$primary" "${disk}1"
dmsetup remove --noudevsync held

section "software RAID"
export MDADM_NO_UDEV=1
check "an array of a partition" mdadm --create /dev/md9 --run --level=1 --force --raid-devices=1 "${disk}1"
check_refused "a partition that is a member" "is held by md9 \\(partition|is held by md9;" "${disk}1"
mdadm --quiet --stop /dev/md9
no_partition
check "an array of the disk" mdadm --create /dev/md9 --run --level=1 --force --raid-devices=1 "$disk"
check_refused "a disk that is a member" "is held by md9;"
mdadm --quiet --stop /dev/md9

section "loop devices, which exclude no one"
check "a partition" partition
loop=$(losetup --find --show "${disk}1")
check_refused "a partition under a loop device" "is in use as $loop;" "${disk}1"
losetup --detach "$loop"
loop=$(losetup --find --show "$disk")
check_refused "a disk under a loop device" "is in use as $loop;"
losetup --detach "$loop"

section "the kernel's target"
start_kernel_target
mkdir -p "$target/core/iblock_0/served"
echo -n "udev_path=$disk" >"$target/core/iblock_0/served/control"
check "it serves the disk" tee "$target/core/iblock_0/served/enable" <<<1
check_refused "a disk that is served" "is served by the kernel's target \\(iblock_0/served\\)"
rmdir "$target/core/iblock_0/served"

section "not in use any more"
wipefs -q -a "$disk"
check "then it can be had" thinmirror sync --overwrite "$primary" "$disk"
check "and is the same" cmp "$primary" "$disk"
finish_checks
