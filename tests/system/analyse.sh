#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: file systems of a fully provisioned LUN, written by the kernel, filled, deleted from
# and fragmented, are copied by their own tables of contents to a thin LUN; the checker is content
# with the copy, and every file mounted from it is the same. Those that are dirty are copied whole.
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly lun_bytes=$((304 << 20)) # the least that mkfs.xfs takes, and a little

# A LUN of LIO's own, which knows nothing of thin provisioning.
full_create() { # NAME PATH
  local place=$target/core/fileio_0/$1
  truncate -s "$lun_bytes" "$2" && mkdir -p "$target/core/fileio_0" && mkdir "$place" &&
    echo -n "fd_dev_name=$2,fd_dev_size=$lun_bytes,fd_buffered_io=1" >"$place/control" &&
    echo 1 >"$place/enable" && echo 0f5 >"$place/wwn/vpd_unit_serial"
}

# Files of many sizes, a third of them deleted again, others in many pieces side by side.
fill() { # FOLDER
  python3 - "$1" <<'EOF'
import os, random, sys
root = sys.argv[1]
random.seed(5)
noise = os.urandom(1 << 20)
def put(file, length):
    at = random.randrange(len(noise) - length)
    file.write(noise[at:at + length])
names = []
for folder in range(6):
    os.makedirs(f"{root}/folder{folder}/deep")
    for number in range(12):
        names.append(f"{root}/folder{folder}/{'deep/' if number % 4 == 0 else ''}file{number}")
for name in names:
    with open(name, "wb") as file:
        put(file, random.choice([0, 10, 4096, 70000, 300000, 900000]))
os.sync()
for name in names[::3]:
    os.unlink(name)
pieces = [open(f"{root}/pieces{number}", "wb", buffering=0) for number in range(8)]
for _ in range(40):
    for file in random.sample(pieces, len(pieces)):
        put(file, random.choice([512, 4096, 20000]))
    os.fsync(file.fileno())
os.truncate(f"{root}/pieces0", 5000)
os.unlink(f"{root}/pieces1")
with open(f"{root}/late", "wb") as file:
    file.seek(3 << 20)
    put(file, 500000)
os.sync()
EOF
}

sums() { # FOLDER
  (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum)
}

mirror() { # COMMAND OPTION...; the JSON in $result
  result=$(thinmirror "$1" --source-map=analyse --json --progress=none "${@:2}" "$primary" \
    "$secondary" 2>/run/mirror.err)
}

same_files() { # NAME TYPE EXPECTED
  check "$1: the copy can be mounted" mount -t "$2" -o ro "$secondary" /mnt/copy
  check_equal "$1: every file of the copy is the same" "$3" "$(sums /mnt/copy)"
  umount /mnt/copy
}

# Everything that is in use is a small part of the LUN.
try() { # NAME TYPE CHECKER MKFS...
  local name=$1 kind=$2 checker=$3 expected
  shift 3
  section "$name"
  check "$name: made" "$@" "$primary"
  check "$name: mounted" mount -t "$kind" "$primary" /mnt/primary || return
  check "$name: filled" fill /mnt/primary
  expected=$(sums /mnt/primary)
  check "$name: unmounted" umount /mnt/primary
  mirror sync --overwrite
  check_equal "$name: sync" "0 []" "$? $(jq -c .notes <<<"$result")"
  check "$name: less than a third of the LUN was copied" \
    jq -e ".written_bytes < $((lun_bytes / 3)) and .written_bytes > 10000000" <<<"$result"
  mirror verify --allocated
  check_equal "$name: verify --allocated, and what the checker says" "0 $checker clean" \
    "$? $(jq -r '.checks[] | .checker + " " + .result' <<<"$result")"
  same_files "$name" "$kind" "$expected"
}

# What is written stays in the log alone.
dirty_xfs() {
  local expected
  section "XFS with a log to be replayed"
  mkfs.xfs -q -f -K "$primary" && mount "$primary" /mnt/primary && fill /mnt/primary
  rm -r /mnt/primary/folder2
  expected=$(sums /mnt/primary)
  check "XFS: shut down with what it did in its log" xfs_io -x -c 'shutdown -f' /mnt/primary
  umount /mnt/primary
  mirror sync --overwrite
  check_equal "XFS: sync" 0 $?
  check_match "XFS: its log is noted" "log" "$(jq -r '.notes[]' <<<"$result")"
  check_equal "XFS: all of it was copied" "$lun_bytes" "$(jq .written_bytes <<<"$result")"
  check "XFS: the copy replays its log" mount "$secondary" /mnt/copy
  umount /mnt/copy
  check "XFS: xfs_repair is content with it" xfs_repair -n "$secondary"
  same_files XFS xfs "$expected"
}

mounted_ext4() {
  local expected
  section "ext4 that is mounted"
  mkfs.ext4 -q -F -E nodiscard "$primary" && mount "$primary" /mnt/primary && fill /mnt/primary
  sync -f /mnt/primary
  expected=$(sums /mnt/primary)
  mirror sync --overwrite
  check_equal "mounted ext4: sync" 0 $?
  check_match "mounted ext4: it is noted" "is mounted.*snapshot" "$(jq -r '.notes[]' <<<"$result")"
  check_match "mounted ext4: its journal is noted" "journal" "$(jq -r '.notes[]' <<<"$result")"
  check "mounted ext4: all of it was copied" jq -e ".written_bytes >= $lun_bytes" <<<"$result"
  check "mounted ext4: the copy replays its journal" mount "$secondary" /mnt/copy
  umount /mnt/copy /mnt/primary
  check "mounted ext4: e2fsck is content with it" e2fsck -fn "$secondary"
  same_files "mounted ext4" ext4 "$expected"
}

mkdir -p /mnt/{files,primary,copy}
mkfs.xfs -q -K "${LAB_DISKS% *}" && mount "${LAB_DISKS% *}" /mnt/files
start_stack
full_create full /mnt/files/full && thin_create thin /mnt/files/thin "$lun_bytes"
primary=$(loop_create 5001405000000001 full) || bail_out "no disk"
secondary=$(loop_create 5001405000000002 thin) || bail_out "no disk"
try ext4 ext4 "e2fsck -fn" mkfs.ext4 -q -F -E nodiscard
try "XFS" xfs "xfs_repair -n" mkfs.xfs -q -f -K
try "XFS version 4" xfs "xfs_repair -n" mkfs.xfs -q -f -K -m crc=0
try btrfs btrfs "btrfs check" mkfs.btrfs -q -f -K
try exFAT exfat "fsck.exfat -n" mkfs.exfat
try NTFS ntfs-3g "ntfsfix -n" mkntfs -q -Q -F
dirty_xfs
mounted_ext4
finish_checks
