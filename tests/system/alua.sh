#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: the access state that the kernel's target enforces is what sg3_utils and Linux' own
# device handler read from the LUN; and the commands that the kernel serves are listed.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly iqn=iqn.2026-01.lab.thinmirror:alua
group=$target/core/user_0/paths/alua/default_tg_pt_gp

linux_says() { # DISK STATE
  [[ $(<"/sys/block/${1#/dev/}/device/access_state") == "$2" ]]
}
tpgs() { # DISK
  sg_inq "$1" | sed -nE 's/.*TPGS=([0-9]).*/\1/p'
}

mkdir -p /mnt/tmpfs
mount -t tmpfs -o size=64m tmpfs /mnt/tmpfs
modprobe scsi_dh_alua || bail_out "scsi_dh_alua does not load"
start_stack
check "the LUN" thin_create paths /mnt/tmpfs/paths 16M
check "its target" target_create "$iqn" paths

section "one port"
disk=$(iscsi_login "$iqn")
check_equal "TPGS: implicit" 1 "$(tpgs "$disk")"
page=$(sg_vpd --page=di "$disk")
check_match "page 83h has the relative target port" 'Relative target port: 0x1$' "$page"
check_match "and the target port group" 'Target port group: 0x0$' "$page"
report=$(sg_rtpg --decode "$disk")
check_match "the group is reported" 'target port group id : 0x0 , Pref=0' "$report"
check_match "its state is" 'asymmetric access state : 0x00.*active/optimized' "$report"
check_match "and its port" '0x01' "$(grep -A 1 'Relative target port ids' <<<"$report")"
check_match "also in the extended format" 'asymmetric access state : 0x00' \
  "$(sg_rtpg --decode --extended "$disk")"
check_equal "Linux uses its device handler" alua \
  "$(cat "/sys/block/${disk#/dev/}/device/dh_state")"
check "and reads the state" wait_for 10 linux_says "$disk" active/optimized

section "another state"
echo 1 >"$group/alua_access_state"
check_match "active/non-optimized is told" 'asymmetric access state : 0x01' \
  "$(sg_rtpg --decode "$disk")"
echo 1 >"$group/preferred"
check_match "so is PREF" 'Pref=1' "$(sg_rtpg --decode "$disk")"
echo 2 >"$group/alua_access_state"
check_match "standby is told" 'asymmetric access state : 0x02' "$(sg_rtpg --decode "$disk")"
check_fails "and enforced" 2 "standby" sg_raw "$disk" 28 00 00 00 00 00 00 00 00 00
echo 0 >"$group/alua_access_state"
check "it can be read again" wait_for 10 sg_raw -r 512 "$disk" 28 00 00 00 00 00 00 00 01 00

section "two ports"
second=$(loop_create 5001405000000001 paths)
check_equal "TPGS stays" "1 1" "$(tpgs "$disk") $(tpgs "$second")"
check_match "both ports are reported" '0x02' \
  "$(sg_rtpg --decode "$disk" | grep -A 3 'Relative target port ids')"
check_match "whose the page is asked through cannot be told" '^0$' \
  "$(sg_vpd --page=di "$second" | grep -c 'Relative target port')"
mkdir "$target/core/user_0/paths/alua/other"
echo 7 >"$target/core/user_0/paths/alua/other/tg_pt_gp_id"
echo other >"$target/loopback/naa.5001405000000001/tpgt_1/lun/lun_0/alua_tg_pt_gp"
check_match "thindoctor names the LUN and its groups" \
  '^false the ports of paths are in several groups \((default_tg_pt_gp, other|other, default_tg_pt_gp)\)' \
  "$(thindoctor --json | jq -r '.checks[] | select(.name == "LUNs: port groups") | "\(.ok) \(.state)"')"
check_equal "with two groups nothing is told" "0 0" "$(tpgs "$disk") $(tpgs "$second")"
check_fails "nor reported" 5 . sg_rtpg "$disk"
loop_remove 5001405000000001
check_equal "with one again it is" 1 "$(tpgs "$disk")"
check_equal "thindoctor is content" "true the ports of each LUN (1) are in one group" \
  "$(thindoctor --json | jq -r '.checks[] | select(.name == "LUNs: port groups") | "\(.ok) \(.state)"')"

section "informational exceptions"
check_match "sg_logs reads that there are none" 'IE asc = 0x0, ascq = 0x0' "$(sg_logs --page=0x2f "$disk")"
check "TEST asks for a false one" sg_wr_mode --page=0x1c --contents=9c,a,4,6,0,0,0,0,0,0,0,0 --mask=0,0,4 "$disk"
check_match "and sg_logs reads that" 'IE asc = 0x5d, ascq = 0xff' "$(sg_logs --page=0x2f "$disk")"
check "and no longer" sg_wr_mode --page=0x1c --contents=9c,a,0,6,0,0,0,0,0,0,0,0 --mask=0,0,4 "$disk"
check_match "then there is none again" 'IE asc = 0x0, ascq = 0x0' "$(sg_logs --page=0x2f "$disk")"

section "what the kernel serves"
codes=$(sg_opcodes "$disk")
for name in "Persistent reserve in" "Persistent reserve out" "Report luns" "Reserve\\(6\\)" \
  "Release\\(6\\)" "Reserve\\(10\\)" "Release\\(10\\)" "Report target port groups" "Send diagnostic"; do
  check_match "sg_opcodes lists $name" "$name" "$codes"
done
check "the default self-test passes" sg_senddiag --test "$disk"
check "the error history is empty" sg_read_buffer --mode=err_hist --id=0 --length=32 "$disk"
iscsi_logout "$iqn"
finish_checks
