#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: the scripts of targetcli-examples/, exactly as they are, and what they promise.
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly examples=$LAB_REPO/targetcli-examples
readonly prefix=iqn.2026-11.org.example

mkdir -p /srv/thin
mkfs.xfs -q -K "${LAB_DISKS% *}" && mount "${LAB_DISKS% *}" /srv/thin
start_stack

section "one-lun.sh"
check "one-lun.sh" env RING_MIB=1 "$examples/one-lun.sh"
check_equal "its ring is of 1 MiB" 1 "$(cat "$target"/core/user_*/disk1/attrib/cmd_ring_size_mb)"
check_match "thindoctor counts it" "the rings of 1 LUN take 1 of" "$(thindoctor || true)"
disk=$(iscsi_login "$prefix:disk1")
check_equal "its LUN has the size it says" $((10 << 30)) "$(blockdev --getsize64 "$disk")"
check "it can be written" dd if=/dev/urandom of="$disk" bs=1M count=4 oflag=direct
check "it can be reserved" sg_persist --out --register --param-sark=1 "$disk"
check "log out" iscsi_logout "$prefix:disk1"

section "large-commands.sh"
check "large-commands.sh" "$examples/large-commands.sh"
disk=$(iscsi_login "$prefix:disk2")
check_equal "the kernel notes down 4 MiB" 8192 "$(cat "$target"/core/user_*/disk2/attrib/hw_max_sectors)"
echo 4096 >"/sys/block/${disk#/dev/}/queue/max_sectors_kb"
dd if=/dev/urandom of=/run/data bs=4M count=2 status=none
check "4 MiB a command can be written" \
  sg_dd if=/run/data of="$disk" bs=512 bpt=8192 count=16384 blk_sgio=1
sg_dd if="$disk" bs=512 bpt=8192 count=16384 blk_sgio=1 of=/run/back 2>/dev/null
check "and read back" cmp /run/data /run/back
check "log out" iscsi_logout "$prefix:disk2"

section "primary-and-secondary.sh"
check "primary-and-secondary.sh" env SIZE=256M BLOCK_SIZE=4096 "$examples/primary-and-secondary.sh"
auth=/etc/thinmirror.auth
check_equal "the secrets are for root alone" 600 "$(stat -c %a "$auth")"
read -r _ user secret < <(grep ":primary " "$auth")
check_equal "a wrong secret does not log in" "" "$(iscsi_login "$prefix:primary" "$user" not-the-secret 2>/dev/null)"
iscsiadm -m node -T "$prefix:primary" -o delete
disk=$(iscsi_login "$prefix:primary" "$user" "$secret")
check_equal "the right one does, and blocks are 4096 bytes" 4096 "$(blockdev --getss "$disk")"
check "something to mirror" mkfs.ext4 -q "$disk"
check "it can be reserved" sg_persist --out --register --param-sark=1 "$disk"
check "and that is undone" sg_persist --out --clear --param-rk=1 "$disk"
check "log out" iscsi_logout "$prefix:primary"
urls=("iscsi://$user@127.0.0.1/$prefix:primary/0" "iscsi://$user@127.0.0.1/$prefix:secondary/0")
sed 's/[^ ]*$/not-the-secret/' "$auth" >/run/wrong.auth
chmod 600 /run/wrong.auth
check_fails "thinmirror: a wrong secret" 1 "$prefix:primary.*(login|auth|CHAP|refused)" \
  thinmirror probe --auth-file=/run/wrong.auth "${urls[0]}"
check_fails "thinmirror: no secret" 1 "$prefix:primary" thinmirror probe "${urls[0]}"
check "thinmirror sync with the secrets" thinmirror sync --auth-file="$auth" "${urls[@]}"
check "thinmirror verify" thinmirror verify --auth-file="$auth" "${urls[@]}"

section "tear-down.sh"
check "tear-down.sh" "$examples/tear-down.sh"
check_equal "no target is left" "" "$(cd "$target/iscsi" && ls -d iqn.* 2>/dev/null)"
check_equal "no backstore is left" "" "$(compgen -G "$target/core/user_*/*/enable")"
check "the volumes stay" thinvol check /srv/thin/primary

section "once more over the volumes there are"
echo "$prefix:elsewhere somebody a-secret-of-12" >>"$auth"
check "primary-and-secondary.sh again" env BLOCK_SIZE=4096 "$examples/primary-and-secondary.sh"
check "secrets of other targets are kept" grep -q "^$prefix:elsewhere " "$auth"
check_equal "each of its own has one line" 1 "$(grep -c ":primary " "$auth")"
check "and the copy is still the same" thinmirror verify --auth-file="$auth" "${urls[@]}"
finish_checks
