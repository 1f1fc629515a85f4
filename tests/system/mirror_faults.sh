#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: copies that real targets disturb. A target that goes away and comes back, one whose
# queue is full, a disk with bad blocks or aborted commands, a secondary without room, a map of one
# extent an answer. Each ends
# with an exact copy or with the exit status that says why not. Then who must not be written to, and
# who must prove who it is.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly iqn=iqn.2026-01.lab.thinmirror:faults
readonly url=iscsi://127.0.0.1/$iqn/0 tpg=$target/iscsi/$iqn/tpgt_1
readonly primary=/mnt/tmpfs/primary volume=/mnt/small/volume
readonly scsi_debug=/sys/bus/pseudo/drivers/scsi_debug
export THINMIRROR_INITIATOR=iqn.2026-01.lab.thinmirror:mirror

begin_sync() { # OPTION... PRIMARY SECONDARY
  thinmirror sync --json --progress=none --checkpoint=0.2 "$@" >/run/sync.json 2>/run/sync.err &
  sync_pid=$!
}
check_end() { # NAME STATUS
  local status=0
  wait "$sync_pid" || status=$?
  check_equal "$1" "$2" "$status"
  ((status == $2)) || sed 's/^/#   /' /run/sync.err
}
result() { # FIELD
  jq -r ".$1" /run/sync.json
}
some_is_written() { # FILE
  (($(stat -c %b "$1") > 0))
}
# What Linux has cached of its files and of the disk is not what is asked.
same() { # FILE-OR-DISK FILE-OR-DISK
  sync
  echo 3 >/proc/sys/vm/drop_caches
  cmp "$1" "$2"
}
new_disk() { # OPTION...: a new scsi_debug, $disk and $disk_sg
  modprobe -r scsi_debug 2>/dev/null
  modprobe scsi_debug dev_size_mb=16 delay=0 lbpu=1 lbpws=1 lbprz=1 "$@" || return 1
  wait_for 20 find_disk
}
find_disk() {
  disk=$(grep -lw scsi_debug /sys/block/sd*/device/model | cut -d / -f 4)
  [[ -n $disk && -b /dev/$disk ]] || return 1
  disk_sg=/dev/$(ls "/sys/block/$disk/device/scsi_generic") disk=/dev/$disk
}
inject() { # OPTS [EVERY_NTH]
  echo "${2:-0}" >"$scsi_debug/every_nth" && echo "$1" >"$scsi_debug/opts"
}
go_away() {
  rmdir "$tpg/np/127.0.0.1:3260"
  echo 0 >"$tpg/enable"
}
come_back() {
  mkdir "$tpg/np/127.0.0.1:3260" && echo 1 >"$tpg/enable"
}

mkdir -p /mnt/{tmpfs,small}
mount -t tmpfs -o size=1g tmpfs /mnt/tmpfs
mount -t tmpfs -o size=16m tmpfs /mnt/small
dd if=/dev/urandom of="$primary" bs=1M count=12 status=none
start_stack
check "the secondary" thin_create faults "$volume" 12M 512 hw_max_sectors=2048
check "its target" target_create "$iqn" faults

section "a portal that is removed and restored"
begin_sync --rate=4M --sessions=2 --verify "$primary" "$url"
wait_for 20 some_is_written "$volume"
go_away
sleep 2
check "the copy waits" kill -0 "$sync_pid"
check "the portal comes back" come_back
check_end "the copy goes on" 0
check_match "after a new login" "connected again" "$(</run/sync.err)"
check "it is exact" same "$primary" "$volume"

section "a secondary whose queue is full"
# The kernel has room for 4 MiB of data that tcmu-runner has not taken yet, and is told not to wait
# for more: it answers TASK SET FULL. That it did so is known from its debugging messages alone.
readonly narrow=/mnt/tmpfs/narrow
narrow_queue() {
  thin_create narrow "$narrow" 12M 512 hw_max_sectors=2048 max_data_area_mb=4 &&
    echo 0 >"$target/core/user_0/narrow/attrib/qfull_time_out" &&
    target_create "$iqn-narrow" narrow
}
watch_queue() {
  mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug || return 1
  echo 'module target_core_user format "no data space" +p' >/sys/kernel/debug/dynamic_debug/control
}
queue_was_full() {
  grep -q "no data space" <(dmesg)
}
check "a target with a short queue" narrow_queue
check "what it is short of is logged" watch_queue
# With a depth of its own a copy has more in flight than that, however quick the answers are.
begin_sync --rate=8M --queue-depth=32 --verify "$primary" "${url/$iqn/$iqn-narrow}"
wait_for 20 some_is_written "$narrow"
kill -STOP "$runner_pid"
sleep 2
check "the copy goes on trying" kill -0 "$sync_pid"
kill -CONT "$runner_pid"
check_end "and ends well" 0
check "commands were refused with TASK SET FULL meanwhile" queue_was_full
check "it is exact" same "$primary" "$narrow"

section "a secondary without room"
check "the volume is emptied" blkdiscard "$(iscsi_login "$iqn")"
iscsi_logout "$iqn"
dd if=/dev/zero of=/mnt/small/ballast bs=1M count=10 status=none
begin_sync --rate=8M --overwrite "$primary" "$url"
check_end "the copy stops" 1
check_match "at once, and says what to do" "7/27/07.*--resume" "$(</run/sync.err)"
rm /mnt/small/ballast
begin_sync --resume "$primary" "$url"
check_end "with room it goes on" 0
if (($(result resumed_bytes) > 0)); then
  ok "and does not begin anew ($(result resumed_bytes) bytes were done)"
else
  not_ok "and does not begin anew" "$(</run/sync.json)"
fi
check "it is exact" same "$primary" "$volume"

section "a disk of open-iscsi whose session is replaced"
copy=/mnt/tmpfs/copy
disk=$(iscsi_login "$iqn") || bail_out "no session"
check_equal "it is read by io_uring and written by SG_IO" "io_uring, writes by SG_IO" \
  "$(thinmirror probe --json "$disk" | jq -r .data_by)"
interrupted_sync() { # NAME OPTION... PRIMARY SECONDARY
  local name=$1
  shift
  begin_sync --rate=4M --overwrite "$@"
  sleep 1
  go_away
  sleep 2
  check "$name: the copy waits" kill -0 "$sync_pid"
  check "$name: the portal comes back" come_back
  check_end "$name: the copy goes on" 0
}
truncate -s 12M "$copy"
interrupted_sync "the primary" "$disk" "$copy"
check "the copy is exact" same "$primary" "$copy"
dd if=/dev/urandom of="$copy" bs=1M count=12 conv=notrunc status=none
interrupted_sync "the secondary" "$copy" "$disk"
check "the disk is exact" same "$copy" "$volume"
# Slowly: the connection is most probably cut while nothing is in flight, as nothing waits for what is
# lost then.
dd if=/dev/urandom of="$copy" bs=1M count=12 conv=notrunc status=none
begin_sync --rate=1M --overwrite "$copy" "$disk"
sleep 2
check "a connection is cut" ss --kill --no-header dst 127.0.0.1 dport = :3260
check_end "the copy goes on" 0
if (($(result reconnects) > 0)); then
  ok "and knows of it"
else
  not_ok "and knows of it" "$(</run/sync.json)"
fi
check "the disk is exact once more" same "$copy" "$volume"
check "the volume is as it was" thinmirror sync --overwrite --progress=none "$primary" "$disk"
iscsi_logout "$iqn"
rm "$copy"

section "a disk of this machine without room"
local_disk=$(loop_create 6001405000000009 faults) || bail_out "no disk"
check_equal "it is written by io_uring" "io_uring" "$(thinmirror probe --json "$local_disk" | jq -r .data_by)"
check "the volume is emptied again" blkdiscard "$local_disk"
dd if=/dev/zero of=/mnt/small/ballast bs=1M count=10 status=none
begin_sync --overwrite "$primary" "$local_disk"
check_end "the copy stops there, too" 1
check_match "and SG_IO tells why" "7/27/07.*--resume" "$(</run/sync.err)"
rm /mnt/small/ballast
begin_sync --resume "$primary" "$local_disk"
check_end "and goes on with room" 0
check "it is exact" same "$primary" "$volume"
loop_remove 6001405000000009

section "a primary with bad blocks"
new_disk || bail_out "no disk"
dd if="$primary" of="$disk" bs=1M oflag=direct status=none
for node in "$disk" "$disk_sg"; do
  kind=${node//[0-9]/}
  inject 2
  rm -f /mnt/tmpfs/copy
  truncate -s 16M /mnt/tmpfs/copy
  begin_sync "$node" /mnt/tmpfs/copy
  check_end "$kind: bad blocks end the copy" 1
  check_match "$kind: the first one is named" "$node.*at block 4660" "$(</run/sync.err)"
  begin_sync --resume --skip-bad=16 "$node" /mnt/tmpfs/copy
  check_end "$kind: --skip-bad goes on, and tells" 1
  check_equal "$kind: how many, and where" "10 4660" "$(result bad_blocks) $(result first_bad_lba)"
  inject 0
  dd if="$disk" of=/mnt/tmpfs/expected bs=1M iflag=direct status=none
  dd if=/dev/zero of=/mnt/tmpfs/expected bs=512 seek=4660 count=10 conv=notrunc status=none
  check "$kind: zeros there, and all else exact" same /mnt/tmpfs/expected /mnt/tmpfs/copy
  begin_sync --resume "$node" /mnt/tmpfs/copy
  check_end "$kind: once they are readable" 0
  dd if="$disk" of=/mnt/tmpfs/expected bs=1M iflag=direct status=none
  check "$kind: all of it is exact" same /mnt/tmpfs/expected /mnt/tmpfs/copy
done

section "a primary that aborts commands"
for node in "$disk" "$disk_sg"; do
  kind=${node//[0-9]/}
  rm -f /mnt/tmpfs/copy
  truncate -s 16M /mnt/tmpfs/copy
  inject 16 7
  begin_sync "$node" /mnt/tmpfs/copy
  check_end "$kind: every seventh command is aborted, and sent again" 0
  inject 0
  check "$kind: the copy is exact" same /mnt/tmpfs/expected /mnt/tmpfs/copy
done

section "a map of one extent an answer"
new_disk unmap_granularity=8 || bail_out "no disk"
scatter() { # 200 pieces of 4 KiB, one every 80 KiB
  python3 -c 'if True:
    import os, sys
    disk = os.open(sys.argv[1], os.O_WRONLY)
    for at in range(200):
        os.pwrite(disk, os.urandom(4096), at * 80 * 1024)
    os.fsync(disk)' "$disk"
}
check "200 extents on it" scatter
rm -f /mnt/tmpfs/copy
truncate -s 16M /mnt/tmpfs/copy
begin_sync "$disk_sg" /mnt/tmpfs/copy
check_end "200 extents are copied" 0
check_equal "no more and no less" "200 819200" "$(result extents) $(result written_bytes)"
dd if="$disk" of=/mnt/tmpfs/expected bs=1M iflag=direct status=none
check "the copy is exact" same /mnt/tmpfs/expected /mnt/tmpfs/copy

section "disks that others use"
refused() { # NAME REGEX
  check_fails "$1" 3 "$2" thinmirror sync --overwrite "$primary" "$disk"
  check_fails "$1, by its other node" 3 "$2" thinmirror sync --overwrite "$primary" "$disk_sg"
}
check "swap" mkswap "$disk"
check "is switched on" swapon "$disk"
refused "a disk that is swap" "swap"
swapoff "$disk"
check "a device above it" dmsetup create above --table "0 $(blockdev --getsz "$disk") linear $disk 0"
refused "a disk below a device mapper's" "dm-|held|holder"
dmsetup remove above
dd if=/dev/zero of="$disk" bs=1M count=1 oflag=direct status=none
check_fails "data of somebody else" 3 "--overwrite" thinmirror sync "$primary" "$disk"
check "with --overwrite" thinmirror sync --overwrite "$primary" "$disk"

section "LUNs above 255, and digests"
# LIO has LUN 300 by the plain number (012Ch), as Linux does as an initiator, and not by flat space
# addressing. LUN 44 is what is left of it in one byte.
readonly many=$target/iscsi/$iqn-many/tpgt_1
many_luns() {
  truncate -s 2M /mnt/tmpfs/lun300
  target_create "$iqn-many" faults && echo 0 >"$many/enable" &&
    mkdir -p "$target/core/fileio_0/lun300" &&
    echo -n "fd_dev_name=/mnt/tmpfs/lun300,fd_dev_size=2097152" >"$target/core/fileio_0/lun300/control" &&
    echo 1 >"$target/core/fileio_0/lun300/enable" &&
    for lun in 44 300; do mkdir "$many/lun/lun_$lun"; done &&
    ln -s "$target/core/user_0/faults" "$many/lun/lun_44/faults" &&
    ln -s "$target/core/fileio_0/lun300" "$many/lun/lun_300/lun300" &&
    echo 1 >"$many/enable"
}
readonly many_url=iscsi://127.0.0.1/$iqn-many
check "a target with LUNs 44 and 300" many_luns
check_equal "LUN 300 is the other one" 2097152 "$(thinmirror probe --json "$many_url/300" | jq .lun_bytes)"
check_equal "LUN 44 is itself" 12582912 "$(thinmirror probe --json "$many_url/44" | jq .lun_bytes)"
check_fails "there is no LUN 301" 1 "no such LUN" thinmirror probe "$many_url/301"
insist() { # KEY VALUE
  echo "$2" >"$many/param/$1"
}
check "the target insists on header digests" insist HeaderDigest CRC32C
check "a copy goes there" thinmirror sync --overwrite --verify "$primary" "$many_url/0"
check "data digests are insisted on" insist DataDigest CRC32C
check_fails "that is what libiscsi does not have" 1 "data digests.*must allow None" \
  thinmirror probe "$many_url/0"
# The handler answers MODE SENSE itself, so that only a write tells it. What an initiator may do is
# remembered from its first login.
insist DataDigest None
echo 1 >"$many/attrib/demo_mode_write_protect"
check_fails "a LUN that takes no writes is refused" 3 "$many_url/44.*(protect|read-only)" \
  env THINMIRROR_INITIATOR=iqn.2026-01.lab.thinmirror:stranger thinmirror sync --overwrite "$primary" "$many_url/44"
target_remove "$iqn-many"

section "mutual CHAP"
readonly acl=$tpg/acls/$THINMIRROR_INITIATOR
chap() {
  mkdir "$acl" "$acl/lun_0" && ln -s "$tpg/lun/lun_0" "$acl/lun_0/" &&
    echo -n mirror >"$acl/auth/userid" && echo -n initiatorsecret >"$acl/auth/password" &&
    echo -n kernel >"$acl/auth/userid_mutual" && echo -n targetsecret01 >"$acl/auth/password_mutual" &&
    echo 1 >"$tpg/attrib/authentication"
}
secrets() { # LINE
  (umask 077 && echo "* $1" >/run/auth)
}
check "the target wants it" chap
check_fails "without a secret" 1 "CHAP" thinmirror probe "$url"
secrets "mirror initiatorsecret kernel targetsecret01"
check "with both secrets" thinmirror probe --auth-file=/run/auth "$url"
secrets "mirror wrongsecret0001 kernel targetsecret01"
check_fails "with a wrong one" 1 "refuses this user or CHAP secret" \
  thinmirror probe --auth-file=/run/auth "$url"
secrets "mirror initiatorsecret kernel wrongsecret0001"
check_fails "a target that does not know its own" 1 "could not prove who it is" \
  thinmirror probe --auth-file=/run/auth "$url"
finish_checks
