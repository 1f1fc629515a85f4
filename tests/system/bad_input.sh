#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: what people get wrong in targetcli, and what initiators get wrong, is refused with a
# message that says what to do, and nothing is made or lost.
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly iqn=iqn.2026-01.lab.thinmirror:bad

prepare() {
  mkdir -p /mnt/{vfat,tmpfs}
  modprobe -a loop vfat nls_cp437 nls_ascii &&
    mount -t tmpfs tmpfs /mnt/tmpfs &&
    truncate -s 64M /mnt/tmpfs/vfat.img && busybox mkdosfs /mnt/tmpfs/vfat.img &&
    mount -o loop /mnt/tmpfs/vfat.img /mnt/vfat &&
    thinvol create /mnt/tmpfs/good 64M && thinvol create --block-size=4096 /mnt/tmpfs/good4k 64M &&
    thinvol create /mnt/tmpfs/served 64M &&
    mkdir /mnt/tmpfs/directory &&
    truncate -s 16M /mnt/tmpfs/bare /mnt/vfat/volume && cp /mnt/tmpfs/good.thin /mnt/vfat/volume.thin
}

# Every line is one that someone will type some day. targetcli goes on after each error.
try_in_targetcli() {
  local create="/backstores/user:thin create"
  targetcli 2>&1 <<EOF
$create name=served size=64M cfgstring=/mnt/tmpfs/served
$create name=again size=64M cfgstring=/mnt/tmpfs/served
$create name=relative size=64M cfgstring=mnt/tmpfs/good
$create name=option size=64M cfgstring=/mnt/tmpfs/good;colour=blue
$create name=missing size=64M cfgstring=/mnt/tmpfs/nothing
$create name=directory size=64M cfgstring=/mnt/tmpfs/directory
$create name=bare size=16M cfgstring=/mnt/tmpfs/bare
$create name=vfat size=16M cfgstring=/mnt/vfat/volume
$create name=odd size=67108863 cfgstring=/mnt/tmpfs/good
$create name=larger size=128M cfgstring=/mnt/tmpfs/good
$create name=blocks size=64M cfgstring=/mnt/tmpfs/good4k
EOF
}

sizes() {
  stat -c '%n %s' /mnt/tmpfs/good /mnt/tmpfs/good4k /mnt/tmpfs/served
}

check "volumes to get wrong" prepare
start_stack
before=$(sizes)

section "targetcli"
: >"$runner_log"
said=$(try_in_targetcli)
log=$(<"$runner_log")
check_match "targetcli says: already served, and by whom" "cfgstring invalid: .*/mnt/tmpfs/served.*(tcmu-runner|held|locked|in use|serve)" "$said"
check_match "targetcli says: relative path" "cfgstring invalid: .*mnt/tmpfs/good.*relative" "$said"
check_match "targetcli names the unknown option" "cfgstring invalid: .*colour" "$said"
check_match "targetcli says: no such volume, and how to make one" \
  "cfgstring invalid: .*/mnt/tmpfs/nothing.*thinvol create" "$said"
check_match "targetcli says: a directory" "cfgstring invalid: .*/mnt/tmpfs/directory.*directory" "$said"
check_match "targetcli says: a file that is no volume" \
  "cfgstring invalid: .*/mnt/tmpfs/bare.*thinvol" "$said"
check_match "targetcli says: a file system without hole punching" \
  "cfgstring invalid: .*/mnt/vfat/volume.*(hole|punch)" "$said"
check_match "the log says: not a multiple of the block size" "67108863.*(multiple)" "${log//$'\n'/ }"
check_match "the log says: another size than the volume's" "134217728.*configured" "${log//$'\n'/ }"
check_match "the log says: another block size than the volume's, and the remedy" \
  "blocks of 4096.*hw_block_size=4096" "${log//$'\n'/ }"
check_equal "only the one good LUN was made" served \
  "$(cd "$target"/core/user_* && echo */enable | sed 's:/enable::g')"
check_equal "no volume changed its size" "$before" "$(sizes)"
check "no file was made for the missing volume" not test -e /mnt/tmpfs/nothing

section "a volume that is served"
check_fails "thinvol refuses it" 3 'tcmu-runner|served|use|lock' thinvol resize /mnt/tmpfs/served 128M
check_fails "thinmirror refuses it as thin:PATH" 3 'tcmu-runner|served|use|lock' \
  thinmirror probe thin:/mnt/tmpfs/served
check "the volume that was served twice serves on" test -e "$target"/core/user_*/served/enable

section "wrong addresses and secrets"
check "a target" target_create "$iqn" served
check_fails "thinmirror: no such target" 1 "$iqn-nope" thinmirror probe "iscsi://127.0.0.1/$iqn-nope/0"
check_fails "thinmirror: no such LUN" 1 "lun|logical unit" thinmirror probe "iscsi://127.0.0.1/$iqn/7"
check_fails "thinmirror: an URL that is none" 2 "iscsi://" thinmirror probe "iscsi://127.0.0.1"
check_fails "thinmirror: nothing listens" 1 "127.0.0.1:3261" thinmirror probe "iscsi://127.0.0.1:3261/$iqn/0"
check "thinmirror: and the right one" thinmirror probe "iscsi://127.0.0.1/$iqn/0"
check "tcmu-runner took no harm" runner_answers
finish_checks
